"""Acknowledged writes are there: after SIGKILL at any statement, on a full disk, with a damaged file."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from flanpy.store import etcdpb as pb
from flanpy.storeserver.lock import locked
from integration.net.claim import PROJECT_ROOT
from tests.etcd_server import EmbeddedStore, poll
from tests.storeserver.clients import Raw, raw


def _answers(store: EmbeddedStore) -> Raw:
    channel = grpc.insecure_channel(store.urls[0].partition("//")[2])
    return Raw(channel)


def test_sigkill_before_any_statement_loses_nothing_acknowledged(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.storeserver.crash", str(tmp_path)]
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=250)
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one for one in rounds if one["lost"]] == []
    assert [one["died"] for one in rounds] == [True] * (len(rounds) - 1) + [False]
    assert len(rounds) > 100


class _Writers:
    """Clients that write without end, and remember what was acknowledged."""

    def __init__(self, url: str, number: int) -> None:
        self.acknowledged: dict[bytes, bytes] = {}
        self.running = True
        self._threads = [threading.Thread(target=self._write, args=(url, one)) for one in range(number)]
        for thread in self._threads:
            thread.start()

    def _write(self, url: str, one: int) -> None:
        with raw(url) as client:
            number = 0
            while self.running:
                number += 1
                key, value = b"w/%d/%d" % (one, number % 50), b"%d" % number
                with suppress(grpc.RpcError):
                    client.kv.Put(pb.PutRequest(key=key, value=value), timeout=5, wait_for_ready=True)
                    self.acknowledged[key] = value

    def wait_for_more(self) -> None:
        newest = self._newest()
        poll(lambda: self._newest() > newest + 5, "writes go on")

    def _newest(self) -> int:
        return max(map(int, list(self.acknowledged.values())), default=0)

    def stop(self) -> None:
        self.running = False
        for thread in self._threads:
            thread.join()


def test_sigkill_under_load_again_and_again_loses_nothing_acknowledged() -> None:
    dice = random.Random(7)
    with EmbeddedStore.started() as store:
        writers = _Writers(store.urls[0], 4)
        try:
            for _ in range(5):
                writers.wait_for_more()
                time.sleep(dice.uniform(0, 0.2))
                store.kill()
                store.start()
        finally:
            writers.stop()
        with raw(store.urls[0]) as client:
            there = client.values(b"w/")
        # An unacknowledged write of a dead server may stand in the place of the one before.
        lost = [key for key, value in writers.acknowledged.items() if int(there.get(key, b"0")) < int(value)]
        assert lost == []
        assert len(there) > 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The prefix of a program that sees a small disk at `tmp_path`, with a file on it that may make room."""
    script = (
        f"mount -t tmpfs -o size=16m none {tmp_path} && head -c 8M /dev/zero > {tmp_path}/ballast"
        " && echo up && exec sleep 600"
    )
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == "up\n"
            yield ("nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt", "--")
        finally:
            keeper.kill()


@pytest.mark.netns
def test_full_disk_refuses_writes_with_nospace_and_serves_reads_until_there_is_room(
    small_disk: tuple[str, ...], tmp_path: Path
) -> None:
    with EmbeddedStore.started() as store:
        store.kill()
        store.member.prefix_argv, store.member.storage = small_disk, tmp_path / "data"
        store.start()
        client = _answers(store)
        written = _fill(client)
        assert written > 10
        assert [one.alarm for one in _alarms(client)] == [pb.NOSPACE]
        assert len(client.values(b"fill/")) == written
        assert "NOSPACE" in client.maintenance.Status(pb.StatusRequest()).errors[0]
        with pytest.raises(grpc.RpcError) as refused:
            client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=60))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        store.kill()
        store.start()  # on a disk that is still full
        client = _answers(store)
        assert len(client.values(b"fill/")) == written
        subprocess.run([*small_disk, "rm", str(tmp_path / "ballast")], check=True)
        _fill(client, most=1)
        poll(lambda: not _alarms(client), "the alarm ends by itself")
        client.put(b"after", b"1")
        assert client.values(b"after") == {b"after": b"1"}


def _fill(client: Raw, *, most: int = 10_000) -> int:
    for number in range(most):
        try:
            client.put(b"fill/%04d" % number, os.urandom(100_000))
        except grpc.RpcError as refused:
            if refused.details() != "etcdserver: mvcc: database space exceeded":
                raise
            return number
    return most


def _alarms(client: Raw) -> list[pb.AlarmMember]:
    return list(client.maintenance.Alarm(pb.AlarmRequest(action=pb.AlarmRequest.GET)).alarms)


def test_quota_is_a_limit_like_the_disk() -> None:
    with EmbeddedStore.started("--quota-backend-bytes", str(2 << 20)) as store, raw(store.urls[0]) as client:
        assert 5 < _fill(client) < 30
        gone = client.kv.DeleteRange(pb.DeleteRangeRequest(key=b"fill/", range_end=b"fill0"))
        client.kv.Compact(pb.CompactionRequest(revision=gone.header.revision))
        poll(lambda: not _alarms(client), "the alarm ends when enough was deleted")
        client.put(b"after", b"1")


@contextmanager
def _with_a_key() -> Iterator[tuple[EmbeddedStore, Path]]:
    with EmbeddedStore.started() as store:
        with raw(store.urls[0]) as client:
            client.put(b"precious", b"the-value-that-was-written")
        store.stop()
        yield store, store.member.storage / "store.db"


def _start(store: EmbeddedStore) -> tuple[int, str]:
    done = subprocess.run(store.member.argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("how", ["a value", "a page", "the head", "the end", "all"])
def test_damaged_file_is_named_kept_and_never_served(how: str) -> None:
    with _with_a_key() as (store, file):
        content = file.read_bytes()
        match how:
            case "a value":
                damaged = content.replace(b"the-value", b"THE-value")
            case "a page":
                damaged = content[:8192] + b"\x5a" * 4096 + content[12288:]
            case "the head":
                damaged = b"\0" * 100 + content[100:]
            case "the end":
                damaged = content[:-8192]
            case _:
                damaged = b"no database at all\n" * 100
        assert damaged != content
        file.write_bytes(damaged)
        code, text = _start(store)
        assert code == 66, text
        assert f"'{file}' is damaged" in text
        assert "flanpyctl store restore" in text
        assert file.read_bytes() == damaged


def test_damage_that_comes_while_it_runs_is_refused_and_ends_it() -> None:
    with _with_a_key() as (store, file):
        store.start()  # the file has all, its log nothing
        content = file.read_bytes()
        damaged = content.replace(b"the-value", b"THE-value")
        with file.open("r+b") as opened:
            opened.write(damaged)
        client = _answers(store)
        with pytest.raises(grpc.RpcError) as refused:
            client.kv.Range(pb.RangeRequest(key=b"precious"))
        assert refused.value.code() is grpc.StatusCode.DATA_LOSS
        poll(lambda: not store.member.running, "it ends")
        assert _start(store)[0] == 66


def test_one_instance_per_directory(tmp_path: Path) -> None:
    with _with_a_key() as (store, file), locked(file.parent):
        code, text = _start(store)
        assert code == 75
        assert f"another flanpy-store uses '{file.parent}'" in text


def test_a_new_start_finds_the_file_of_one_that_was_killed_while_it_began(tmp_path: Path) -> None:
    with EmbeddedStore.started() as store:
        for delay in (0.05, 0.1, 0.2, 0.3):
            store.kill()
            shutil.rmtree(store.member.storage, ignore_errors=True)
            store.member.launch()
            time.sleep(delay)
        store.kill()
        store.start()
        with raw(store.urls[0]) as client:
            assert client.put(b"a").header.revision == 2


def test_a_signal_ends_it_in_order() -> None:
    with EmbeddedStore.started() as store:
        os.kill(store.member.pid, signal.SIGTERM)
        assert store.member.wait(deadline=20) == 0
