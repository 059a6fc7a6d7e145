"""`flanpyctl store`: a copy that is whole or not there, and a store that comes back from one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanpy.store import etcdpb as pb
from integration.net.claim import PROJECT_ROOT
from tests.etcd_server import EmbeddedStore, EtcdCluster, poll
from tests.storeserver.clients import raw

NOBODY = 65534


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore.started() as started:
        yield started


def flanpyctl(*words: str) -> tuple[int, str, str]:
    code = f"import sys; sys.argv = {['flanpyctl', *words]!r}; from flanpy.cli.main import main; main()"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def backup(store: EmbeddedStore | EtcdCluster, file: Path, *words: str) -> tuple[int, str, str]:
    return flanpyctl("store", "backup", *words, f"--etcd-endpoints={store.urls[0]}", str(file))


def test_backup_comes_back_with_its_keys_its_leases_and_a_revision_that_nobody_saw(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    file = tmp_path / "store.backup"
    with raw(store.urls[0]) as client:
        lease = client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=600)).ID
        seen = client.put(b"kept", b"1", lease=lease).header
        code, out, err = backup(store, file)
        assert (code, err) == (0, "")
        assert out.endswith("checksum compared\n")
        assert file.stat().st_mode & 0o777 == 0o600
        for number in range(20):
            newest = client.put(b"lost", b"%d" % number).header.revision
    data = str(store.member.storage)
    code, _, err = flanpyctl("store", "restore", "--data-dir", data, str(file))
    assert (code, err.strip()) == (
        6,
        f"flanpyctl: the store in '{data}' runs: systemctl stop flanpy-store, then restore again",
    )
    store.stop()
    code, out, err = flanpyctl("store", "restore", "--data-dir", data, str(file))
    assert (code, err) == (0, "")
    assert "generation 2" in out
    assert list(store.member.storage.glob("store.db.replaced-*"))
    store.start()
    with raw(store.urls[0]) as client:
        header = client.kv.Range(pb.RangeRequest(key=b"kept")).header
        assert (header.cluster_id, header.raft_term) == (seen.cluster_id, seen.raft_term + 1)
        assert client.values(b"kept") == {b"kept": b"1"}
        assert client.values(b"lost") == {}
        left = client.lease.LeaseTimeToLive(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
        assert (500 < left.TTL <= 600, list(left.keys)) == (True, [b"kept"])
        # A watch that had seen more than the backup holds is told to list again.
        create = pb.WatchCreateRequest(key=b"lost", start_revision=newest + 1)
        call = client.watching([pb.WatchRequest(create_request=create)])
        assert next(call).created
        assert next(call).compact_revision == header.revision


def test_backup_does_not_replace_a_file_unless_told_to(store: EmbeddedStore, tmp_path: Path) -> None:
    file = tmp_path / "store.backup"
    file.write_text("precious")
    assert backup(store, file)[0] == 6
    assert file.read_text() == "precious"
    assert backup(store, file, "--force")[0] == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_backup_that_fails_leaves_nothing(store: EmbeddedStore, tmp_path: Path) -> None:
    store.kill()
    code, _, err = backup(store, tmp_path / "store.backup")
    assert code == 3, err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.etcd
def test_backup_of_an_etcd_is_one_that_etcdutl_takes(tmp_path: Path) -> None:
    with EtcdCluster.started() as etcd:
        etcd.ctl("put", "a", "1")
        assert backup(etcd, tmp_path / "etcd.backup")[0] == 0
        etcd.restore(tmp_path / "etcd.backup")
        assert etcd.ctl("get", "a") == "a\n1\n"


@pytest.mark.parametrize("how", ["altered", "altered without checksum", "cut", "empty", "not one", "absent"])
def test_bad_backup_changes_nothing_and_is_named(store: EmbeddedStore, tmp_path: Path, how: str) -> None:
    file = tmp_path / "store.backup"
    with raw(store.urls[0]) as client:
        client.put(b"kept", b"the-value-of-the-key")
    assert backup(store, file)[0] == 0
    store.stop()
    content = file.read_bytes()
    match how:
        case "altered":
            file.write_bytes(content.replace(b"the-value", b"THE-value"))
        case "altered without checksum":  # as the daily ones are
            file.write_bytes(content.replace(b"the-value", b"THE-value")[:-32])
        case "cut":
            file.write_bytes(content[:-5000])
        case "empty":
            file.write_bytes(b"")
        case "not one":
            file.write_bytes(b"a text\n" * 1000)
        case _:
            file.unlink()
    before = (store.member.storage / "store.db").read_bytes()
    code, out, err = flanpyctl("store", "restore", "--data-dir", str(store.member.storage), str(file))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert str(file) in err
    assert (store.member.storage / "store.db").read_bytes() == before
    assert not list(store.member.storage.glob(".restore-*"))


def test_a_day_has_a_backup_of_its_own(store: EmbeddedStore) -> None:
    backups = store.member.storage / "backups"
    poll(lambda: len(list(backups.glob("store-*.db"))) == 1, "the first backup is made at once")
    (made,) = backups.glob("store-*.db")
    with sqlite3.connect(f"file:{made}?mode=ro", uri=True) as read:
        assert read.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.restart()
    assert list(backups.glob("store-*.db")) == [made]


def test_root_restores_with_the_rights_of_the_stores_user(store: EmbeddedStore, tmp_path: Path) -> None:
    file, data = tmp_path / "store.backup", store.member.storage
    precious = tmp_path / "precious"
    precious.write_text("root's")
    assert backup(store, file)[0] == 0
    store.stop()
    for entry in (data, *data.rglob("*")):
        os.chown(entry, NOBODY, NOBODY)
    # The directory of everybody's temporary files stays as it is: without its rights apt checks no signature.
    for parent in [each for each in data.parents if Path(tempfile.gettempdir()) in each.parents]:
        parent.chmod(0o711)
    code, _, err = flanpyctl("store", "restore", "--data-dir", str(data), str(file))
    assert code == 0, err
    assert {entry.stat().st_uid for entry in data.rglob("*")} == {NOBODY}
    assert (data / "store.db").stat().st_mode & 0o777 == 0o600

    # A link in the place of the file that is kept beside leads the store's user to nothing of root's.
    (data / "store.db").unlink()
    (data / "store.db").symlink_to(precious)
    code, _, err = flanpyctl("store", "restore", "--data-dir", str(data), str(file))
    assert code == 0, err
    assert precious.read_text() == "root's"
    assert precious.stat().st_uid == 0
    (data / "lock").unlink()
    (data / "lock").symlink_to(precious)
    code, _, err = flanpyctl("store", "restore", "--data-dir", str(data), str(file))
    assert (code, err.count("\n")) == (1, 1), err
    assert precious.stat().st_uid == 0
