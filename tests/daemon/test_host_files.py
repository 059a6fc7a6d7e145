"""subnet.env and the saved lease: written when they must be, and again once it is possible."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanpy.daemon import host_files
from flanpy.daemon.host_files import LOOK_INTERVAL, LOOKS_APART, LeaseFile, SubnetFile, TunnelMemory
from flanpy.host import state_file
from flanpy.host.state_file import SavedLease
from flanpy.model.objects import OtherLink, Route, TunnelPeer
from flanpy.reconcile.outcome import Pass
from tests.fakes.clock import FakeClock
from tests.states import lease
from tests.status.passes import conflicting, desired, link, passed, refused

pytestmark = pytest.mark.asyncio

MTU = 1450
ROUTE = next(obj for obj in desired().values() if isinstance(obj, Route))


@dataclass
class Noted:
    """The notes made on the status board."""

    texts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __call__(self, text: str, error: str) -> None:
        assert bool(text) != bool(error)
        self.texts.append(text)
        self.errors.append(error)


@pytest.fixture
def noted() -> Noted:
    return Noted()


def _subnet_file(path: Path, noted: Noted, *, ip_masq: bool = False) -> SubnetFile:
    return SubnetFile(path, ip_masq=ip_masq, note=noted)


async def _passed(file: SubnetFile, outcome: Pass, mtu: int) -> None:
    file.after_pass(outcome, mtu)
    await file.close()


@asynccontextmanager
async def _watched(file: SubnetFile) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    clock = FakeClock()
    task = asyncio.create_task(file.watch(clock))

    async def looks(count: int = 1) -> None:
        for _ in range(count):
            await clock.advance(LOOKS_APART)
            await clock.advance(LOOK_INTERVAL)
            await file.close()

    try:
        yield looks
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_subnet_file_is_written_in_flannels_form_after_a_pass(tmp_path: Path, noted: Noted) -> None:
    path = tmp_path / "flannel" / "subnet.env"
    await _passed(_subnet_file(path, noted, ip_masq=True), passed(), MTU)
    assert path.read_text().split() == [
        "FLANNEL_NETWORK=10.50.0.0/16", "FLANNEL_SUBNET=10.50.10.1/24", "FLANNEL_MTU=1450", "FLANNEL_IPMASQ=true",
    ]  # fmt: skip
    assert str(path) in noted.texts[-1]


@pytest.mark.parametrize(
    "outcome",
    [
        passed(desired=None),
        passed(failures=(refused(link()),)),
        passed(difference=conflicting((link(), OtherLink("flannel.1", "bridge")))),
    ],
    ids=["unplanned", "refused", "taken"],
)
async def test_subnet_file_is_not_written_before_the_device_stands(
    tmp_path: Path, noted: Noted, outcome: object
) -> None:
    path = tmp_path / "subnet.env"
    await _passed(_subnet_file(path, noted), outcome, MTU)  # type: ignore[arg-type]  # a table of passes
    assert not path.exists()
    assert noted.texts == []


async def test_subnet_file_is_written_though_a_peer_failed(tmp_path: Path, noted: Noted) -> None:
    path = tmp_path / "subnet.env"
    await _passed(_subnet_file(path, noted), passed(failures=(refused(ROUTE),)), MTU)
    assert path.exists()


async def test_subnet_file_that_holds_already_is_not_touched(tmp_path: Path, noted: Noted) -> None:
    path = tmp_path / "subnet.env"
    await _passed(_subnet_file(path, noted), passed(), MTU)
    before = path.stat()
    await _passed(_subnet_file(path, noted), passed(), MTU)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", ["delete", "alter"])
async def test_subnet_file_comes_back_by_news_alone_when_it_was_lost_or_altered(
    tmp_path: Path, noted: Noted, damage: str
) -> None:
    path = tmp_path / "subnet.env"
    file = _subnet_file(path, noted)
    await _passed(file, passed(), MTU)
    text = path.read_text()
    async with _watched(file) as looks:
        await looks()
        if damage == "delete":
            path.unlink()
        else:
            path.write_text("FLANNEL_MTU=9000\n")
        for _ in range(1000):  # the clock stands still
            if path.exists() and path.read_text() == text:
                break
            await asyncio.sleep(0.01)
        await file.close()
    assert path.read_text() == text


async def test_subnet_file_is_written_once_it_can_be(tmp_path: Path, noted: Noted) -> None:
    parent = tmp_path / "flannel"
    parent.touch()  # a file where the directory should be
    file = _subnet_file(parent / "subnet.env", noted)
    await _passed(file, passed(), MTU)
    assert "choose a path whose parents are directories" in noted.errors[-1]
    async with _watched(file) as looks:
        await looks(3)
        assert noted.texts[-1] == ""
        parent.unlink()
        await looks()
    assert (parent / "subnet.env").exists()
    assert noted.errors[-1] == ""


async def test_subnet_file_is_not_made_by_the_watch_before_any_pass(tmp_path: Path, noted: Noted) -> None:
    async with _watched(_subnet_file(tmp_path / "subnet.env", noted)) as looks:
        await looks(5)
    assert not (tmp_path / "subnet.env").exists()


def _saved(number: int = 0) -> SavedLease:
    own = lease(number)
    return SavedLease(
        key=own.key, lease_id=own.lease_id, revision=1, node_id="node-0", network_config="{}",
        public_ip=own.record.public_ip, public_ip6=None, saved_at=1.0,
    )  # fmt: skip


async def test_lease_file_that_is_forgotten_while_it_is_written_is_gone_in_the_end(
    tmp_path: Path, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, save = threading.Event(), state_file.save

    def slowly(directory: Path, saved: SavedLease) -> bool:
        assert may_go_on.wait(60)
        return save(directory, saved)

    monkeypatch.setattr(state_file, "save", slowly)
    file = LeaseFile(tmp_path, note=lambda *_: None)
    file.save(_saved(1))
    file.save(_saved(2))
    file.forget()
    may_go_on.set()
    await file.close()
    file.try_again()
    await file.close()
    assert list(tmp_path.iterdir()) == []


async def test_tunnel_table_is_what_the_next_start_reads_though_its_disk_hung(tmp_path: Path) -> None:
    tables = [
        tuple(
            TunnelPeer("flannel0", IPv4Network(f"10.50.{n}.0/24"), IPv4Address("192.0.2.1"))
            for n in range(count)
        )
        for count in (1, 2, 3)
    ]
    os.mkfifo(tmp_path / "tunnel.json")  # whatever lies there
    memory = TunnelMemory(tmp_path)
    for table in tables:
        memory.save(table)
    await memory.close()
    assert TunnelMemory(tmp_path).load() == tables[-1]


async def test_lease_file_is_what_a_boot_reads(tmp_path: Path, noted: Noted) -> None:
    file = LeaseFile(tmp_path, note=noted)
    file.save(_saved())
    await file.close()
    assert state_file.load(tmp_path, node_id="node-0") == _saved()
    assert "10.50.10.0-24" in noted.texts[-1]


async def test_lease_file_is_written_once_it_can_be_and_then_the_last_one_given(
    tmp_path: Path, noted: Noted
) -> None:
    state_dir = tmp_path / "state"
    state_dir.touch()
    file = LeaseFile(state_dir, note=noted)
    for number in (1, 2):
        file.save(_saved(number))
        await file.close()
    file.try_again()
    await file.close()
    assert len(noted.errors) == 3
    assert all(noted.errors)
    state_dir.unlink()
    file.try_again()
    await file.close()
    assert state_file.load(state_dir, node_id="node-0") == _saved(2)
    file.try_again()
    await file.close()
    assert noted.errors[3:] == [""]


async def test_slow_disk_holds_up_nobody_and_gets_the_last_lease_of_several(
    tmp_path: Path, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, wrote = threading.Event(), list[SavedLease]()

    def slowly(_directory: Path, saved: SavedLease) -> bool:
        assert may_go_on.wait(60)
        wrote.append(saved)
        return True

    monkeypatch.setattr(state_file, "save", slowly)
    file = LeaseFile(tmp_path, note=noted)
    for number in range(1, 6):
        file.save(_saved(number))
        file.try_again()
    assert wrote == []
    assert noted.texts == []
    may_go_on.set()
    await file.close()
    assert wrote == [_saved(1), _saved(5)]


async def test_daemon_ends_though_the_disk_does_not_answer(
    tmp_path: Path, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(state_file, "save", lambda *_: may_go_on.wait(60))
    monkeypatch.setattr(host_files, "CLOSE_PATIENCE", 0.05)
    file = LeaseFile(tmp_path, note=noted)
    file.save(_saved())
    await file.close()
    assert noted.texts == []
    may_go_on.set()
