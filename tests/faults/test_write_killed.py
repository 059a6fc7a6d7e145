"""kill -9 at every step of every file that the daemon keeps: the file is whole, the next write sweeps."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from flanpy.files import atomic
from flanpy.host import drain_file, state_file, subnet_env, tunnel_file, wireguard_key
from flanpy.host.absent import Absent
from flanpy.host.drain_file import Drained
from flanpy.host.extension import ExtensionPart
from flanpy.host.node_id import node_id
from flanpy.host.state_file import SavedLease
from flanpy.host.subnet_env import SubnetEnv
from flanpy.host.wireguard_key import KeyPair
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import ExtensionPeer, TunnelPeer
from flanpy.model.ops import Put, Scope
from integration.drivers.matrix.outcome import noted

MOST_STEPS = 500


def _die_at_line(number: int) -> Any:
    """A trace function that ends the process before the `number`th line of the code that writes files."""
    left = number

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != atomic.__file__:
            return trace if "flanpy/host" in frame.f_code.co_filename else None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def _killed_at(number: int, write: Callable[[], object]) -> bool:
    """Do it in a child, which dies there; whether it got so far."""
    child = os.fork()
    if child == 0:
        try:
            die = _die_at_line(number)
            threading.settrace(die)  # some write in a thread
            sys.settrace(die)
            write()
        finally:
            sys.settrace(None)
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _lease(number: int) -> SavedLease:
    return SavedLease(
        key=SubnetKey(IPv4Network(f"10.50.{number}.0/24")),
        lease_id=number,
        revision=number,
        node_id="n1",
        network_config='{"Network":"10.50.0.0/16"}',
        public_ip=IPv4Address("192.0.2.1"),
        saved_at=1.0,
    )


def _env(number: int) -> SubnetEnv:
    return SubnetEnv(
        network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network(f"10.50.{number}.0/24"), mtu=1450
    )


def _table(number: int) -> tuple[TunnelPeer, ...]:
    subnets = [IPv4Network((int(IPv4Address("10.50.0.0")) + 256 * n, 24)) for n in range(100)]
    return tuple(TunnelPeer("flannel0", subnet, IPv4Address(f"192.0.2.{number}")) for subnet in subnets)


def _peer(number: int) -> ExtensionPeer:
    """Its commands are none, so that all there is to do is to remember it."""
    return ExtensionPeer(_lease(1).key, (IPv4Address(f"192.0.2.{number}"),), "told", (), ())


Write = Callable[[Path, int], object]
Read = Callable[[Path], object]

FILES: dict[str, tuple[Write, Read]] = {
    "subnet.env": (
        lambda directory, number: subnet_env.write(directory / "subnet.env", _env(number)),
        lambda directory: subnet_env.read(directory / "subnet.env"),
    ),
    "lease.json": (
        lambda directory, number: state_file.save(directory, _lease(number)),
        lambda directory: state_file.load(directory, node_id="n1"),
    ),
    "tunnel.json": (
        lambda directory, number: tunnel_file.TunnelFile(directory).save(_table(number)),
        lambda directory: tunnel_file.TunnelFile(directory).load(),
    ),
    "drained.json": (
        lambda directory, number: drain_file.mark(directory, Drained(_lease(number).key, float(number))),
        lambda directory: drain_file.load(directory) or Absent(),
    ),
    "wgkey": (
        lambda directory, number: wireguard_key.put_back(directory, KeyPair(bytes([number] * 32))),
        lambda directory: (
            wireguard_key.key_pair(directory).private if wireguard_key.made_at(directory) else Absent()
        ),
    ),
    "extension.json": (
        lambda directory, number: asyncio.run(ExtensionPart(directory).apply([Put(_peer(number))])),
        lambda directory: tuple(asyncio.run(ExtensionPart(directory).read_back(Scope())).values()),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_file_is_the_old_or_the_new_one_when_its_writer_is_killed_at_any_step(
    tmp_path: Path, name: str
) -> None:
    write, read = FILES[name]
    contents: list[object] = []
    for number in range(MOST_STEPS):
        directory = tmp_path / str(number)
        write(directory, 1)
        old = read(directory)
        killed = _killed_at(number, lambda directory=directory: write(directory, 2))  # type: ignore[misc]
        contents.append(read(directory))
        assert contents[-1] != Absent()
        write(directory, 3)
        assert [entry.name for entry in directory.iterdir()] == [name], "what a killed writer left is swept"
        if not killed:
            break
    else:
        pytest.fail("the child was killed at every line")
    new = contents[-1]
    first_new = contents.index(new)
    assert len(contents) > 20
    assert contents == [old] * first_new + [new] * (len(contents) - first_new)
    noted("host", f"{name}: kill -9 at each of {len(contents) - 1} steps of a write")


@pytest.mark.parametrize("name", FILES)
def test_first_file_is_absent_or_whole_when_its_writer_is_killed_at_any_step(
    tmp_path: Path, name: str
) -> None:
    write, read = FILES[name]
    seen: list[object] = []
    for number in range(MOST_STEPS):
        directory = tmp_path / str(number) / "deep"
        killed = _killed_at(number, lambda directory=directory: write(directory, 2))  # type: ignore[misc]
        seen.append(read(directory))
        if not killed:
            break
    whole = seen[-1]
    assert all(one in (whole, Absent(), ()) for one in seen)


def test_made_up_node_id_stays_the_same_once_it_was_said_whatever_killed_its_writer(tmp_path: Path) -> None:
    for number in range(MOST_STEPS):
        directory = tmp_path / str(number)
        killed = _killed_at(
            number,
            lambda: node_id(None, state_dir=directory, machine_id=tmp_path / "none"),  # noqa: B023
        )
        path = directory / "node-id"
        kept = path.read_text().strip() if path.exists() else ""
        first = node_id(None, state_dir=directory, machine_id=tmp_path / "none").text
        assert kept in {"", first}
        assert [entry.name for entry in directory.iterdir()] == ["node-id"]
        if not killed:
            break
    else:
        pytest.fail("the child was killed at every line")


def test_living_writers_file_is_not_swept_by_another(tmp_path: Path) -> None:
    path = tmp_path / "subnet.env"
    temporary, descriptor = atomic._locked(path)
    left = tmp_path / ".subnet.env.0123456789ab.tmp"
    left.write_text("left by one that was killed")
    other = tmp_path / ".other.0123456789ab.tmp"
    other.write_text("somebody else's")

    assert atomic.write(path, b"new")

    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [other.name, temporary.name, "subnet.env"]
    )
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "endless"])
@pytest.mark.timeout(60)
def test_odd_thing_in_a_files_place_is_no_hang(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "subnet.env"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/tty")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("/dev/zero")
    found = subnet_env.read(path)
    assert isinstance(found, Absent)
    assert "subnet.env" in str(found)
    assert isinstance(state_file.load(tmp_path / "none", node_id="n1"), Absent)


def test_pipe_in_a_files_place_is_replaced_by_the_file(tmp_path: Path) -> None:
    for name, (write, read) in FILES.items():
        os.mkfifo(tmp_path / name)
        write(tmp_path, 1)
        assert (tmp_path / name).is_file()
        assert read(tmp_path) not in (Absent(), ())
