"""Clients of etcd work unchanged: etcdctl, and python-etcd3 as it is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.net.child import Child
from integration.net.namespaces import LabError, run
from tests.etcd_server import EmbeddedStore, poll

ETCD3 = """
import sys, time, etcd3
client = etcd3.client(host="127.0.0.1", port=int(sys.argv[1]), timeout=20)
lease = client.lease(60)
client.put("/py/a", "1", lease=lease)
assert client.get("/py/a")[0] == b"1"
assert [value for value, _ in client.get_prefix("/py/")] == [b"1"]
heard = []
watch = client.add_watch_callback("/py/b", lambda answer: heard.extend(answer.events))
done, _ = client.transaction(
    compare=[client.transactions.version("/py/b") == 0],
    success=[client.transactions.put("/py/b", "2")],
    failure=[client.transactions.get("/py/b")],
)
assert done
assert client.replace("/py/b", "2", "3")
while len(heard) < 2:
    time.sleep(0.01)
client.cancel_watch(watch)
assert lease.refresh()[0].TTL == 60
assert 0 < lease.remaining_ttl <= 60 and lease.granted_ttl == 60 and lease.keys == [b"/py/a"]
with client.lock("a-lock", ttl=60):
    pass
assert client.delete("/py/b")
lease.revoke()
assert client.get("/py/a")[0] is None
client.compact(client.get_response("/py/").header.revision)
try:
    client.status()  # asks for the members of the cluster
except Exception as error:
    print(error.details())
with open(sys.argv[2], "wb") as file:
    client.snapshot(file)
"""


@pytest.fixture(scope="module")
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore.started() as started:
        yield started


def test_etcdctl_gets_puts_and_deletes(store: EmbeddedStore) -> None:
    assert store.ctl("put", "/c/a", "1") == "OK\n"
    assert store.ctl("put", "/c/a", "2", "--prev-kv") == "OK\n/c/a\n1\n"
    store.ctl("put", "/c/b", "3")
    assert store.ctl("get", "/c/", "--prefix", "--order=DESCEND", "--sort-by=KEY") == "/c/b\n3\n/c/a\n2\n"
    assert store.ctl("get", "/c/", "--prefix", "--keys-only", "--limit=1") == "/c/a\n\n"
    assert '"Count" : 2' in store.ctl("get", "/c/", "--prefix", "--count-only", "-w", "fields")
    assert store.ctl("del", "/c/", "--prefix") == "2\n"


def test_etcdctl_runs_transactions(store: EmbeddedStore) -> None:
    argv = store.ctl_argv("txn")
    text = 'value("/t/a") = "1"\n\nput "/t/a" "never"\n\nput "/t/a" "1"\nget "/t/a"\n\n'
    done = subprocess.run(
        argv, input=text, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "FAILURE\n\nOK\n\n/t/a\n1\n"


def test_etcdctl_keeps_leases(store: EmbeddedStore) -> None:
    lease = store.ctl("lease", "grant", "60").split()[1]
    store.ctl("put", "/l/a", "1", f"--lease={lease}")
    assert "attached keys([/l/a])" in store.ctl("lease", "timetolive", lease, "--keys")
    assert "keepalived with TTL(60)" in store.ctl("lease", "keep-alive", "--once", lease)
    assert lease in store.ctl("lease", "list")
    store.ctl("lease", "revoke", lease)
    assert store.ctl("get", "/l/a") == ""


def test_etcdctl_watches_from_the_past_on(store: EmbeddedStore, tmp_path: Path) -> None:
    revision = json.loads(store.ctl("put", "/w/a", "1", "-w", "json"))["header"]["revision"]
    watch = Child("etcdctl", "", log=tmp_path / "watch.log")
    watch.start(store.ctl_argv("watch", "/w/", "--prefix", f"--rev={revision}"), env={"ETCDCTL_API": "3"})
    try:
        poll(lambda: watch.log.read_text() == "PUT\n/w/a\n1\n", "the past is told")
        store.ctl("del", "/w/a")
        poll(lambda: watch.log.read_text().endswith("DELETE\n/w/a\n\n"), "and what is new")
    finally:
        watch.kill()


def test_etcdctl_looks_after_it(store: EmbeddedStore, tmp_path: Path) -> None:
    assert '"health":true' in store.ctl("endpoint", "health", "-w", "json")
    (status,) = json.loads(store.ctl("endpoint", "status", "-w", "json"))
    assert status["Status"]["version"].startswith("flanpy-store ")
    assert store.ctl("alarm", "list") == ""
    revision = int(status["Status"]["header"]["revision"])
    assert f"compacted revision {revision}" in store.ctl("compaction", str(revision))
    saved = tmp_path / "snapshot.db"
    store.ctl("snapshot", "save", str(saved))
    assert saved.stat().st_size % 512 == 32  # pages, then a SHA-256
    with pytest.raises(LabError, match=r"flanpy-store does not have /etcdserverpb\.Cluster/MemberList"):
        store.ctl("member", "list")


def test_python_etcd3_works_as_it_is_published(store: EmbeddedStore, tmp_path: Path) -> None:
    port = store.urls[0].rpartition(":")[2]
    saved = tmp_path / "snapshot.db"
    # Its own stubs are made for an older protobuf.
    env = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = run([sys.executable, "-c", ETCD3, port, str(saved)], env=env)
    assert done.stdout.startswith("flanpy-store does not have /etcdserverpb.Cluster/MemberList")
    assert saved.read_bytes().startswith(b"SQLite format 3\0")
