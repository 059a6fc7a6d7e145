"""The extension backend's commands as processes: environment, standard input, deadlines, what a restart remembers."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from flanpy.errors import KernelError
from flanpy.host.extension import FILE_NAME, ExtensionPart
from flanpy.host.extension_run import LONGEST_OUTPUT
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import ExtensionPeer, ExtensionStart
from flanpy.model.ops import Delete, Put, Scope
from flanpy.model.world import Printed

pytestmark = pytest.mark.asyncio

WAIT_S = 60.0
"""A deadline that only a hang can reach."""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


class Scripts:
    """Scripts that write down what they were given, one file a run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "ran"

    def make(self, name: str, body: str = "") -> tuple[str, ...]:
        path = self.directory / name
        path.write_text(
            "#!/bin/sh\nread told\n"
            f'echo "{name} $# $1 [$told] $SUBNET $PUBLIC_IP $IPV6SUBNET $PUBLIC_IPV6 $NETWORK'
            f' ${{FLANPYD_ETCD_PASSWORD:-none}}" >> {self.log}\n{body}\n'
        )
        path.chmod(0o755)
        return (str(path), "a b; $SUBNET")

    @property
    def ran(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def _peer(scripts: Scripts, number: int = 1, *, told: str = "data", add: str = "") -> ExtensionPeer:
    return ExtensionPeer(
        SubnetKey(IPv4Network(f"10.50.{number}.0/24")),
        (IPv4Address(f"192.0.2.{number}"),),
        told,
        scripts.make("add", add),
        scripts.make("remove"),
    )


def _start(scripts: Scripts) -> ExtensionStart:
    return ExtensionStart(
        scripts.make("post"),
        SubnetKey(IPv4Network("10.50.9.0/24"), IPv6Network("fd50:0:0:9::/64")),
        (IPv4Network("10.50.0.0/16"), IPv6Network("fd50::/48")),
        (IPv4Address("192.0.2.9"), IPv6Address("2001:db8::9")),
    )


async def test_commands_get_flannels_environment_and_standard_input(
    run_dir: Path, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANPYD_ETCD_PASSWORD", "secret")
    part, peer = ExtensionPart(run_dir), _peer(scripts)
    assert await part.apply([Put(_start(scripts)), Put(peer)]) == ()
    assert await part.apply([Delete(peer)]) == ()
    given = "1 a b; $SUBNET"  # one argument, as it stands: no shell, and nothing put into it
    assert scripts.ran == [
        f"post {given} [] 10.50.9.0/24 192.0.2.9 fd50:0:0:9::/64 2001:db8::9 10.50.0.0/16 none",
        f"add {given} [data] 10.50.1.0/24 192.0.2.1    none",
        f"remove {given} [data] 10.50.1.0/24 192.0.2.1    none",
    ]


async def test_p17_restart_repeats_no_command_and_forgets_no_peer(run_dir: Path, scripts: Scripts) -> None:
    peer, start = _peer(scripts), _start(scripts)
    first = ExtensionPart(run_dir)
    printed = await first.print_once(scripts.make("pre", "echo '  its words  '; echo noise >&2"))
    assert printed.output == "its words"
    await first.apply([Put(start), Put(peer)])
    ran = scripts.ran

    second = ExtensionPart(run_dir)
    assert await second.print_once(printed.command) == printed
    assert dict(await second.read_back(Scope())) == {start.key: start, peer.key: peer}
    assert scripts.ran == ran

    assert await second.apply([Delete(peer), Delete(start)]) == ()
    assert scripts.ran[len(ran) :] == ["remove 1 a b; $SUBNET [data] 10.50.1.0/24 192.0.2.1    none"]
    assert dict(await ExtensionPart(run_dir).read_back(Scope())) == {}


async def test_other_prestartup_command_makes_the_others_run_again(run_dir: Path, scripts: Scripts) -> None:
    part, peer = ExtensionPart(run_dir), _peer(scripts)
    await part.print_once(scripts.make("pre"))
    await part.apply([Put(peer)])
    assert await part.print_once(scripts.make("pre2", "echo new")) == Printed(scripts.make("pre2"), "new")
    assert dict(await part.read_back(Scope())) == {}


async def test_changed_peer_is_removed_as_it_was_and_added_as_it_is(run_dir: Path, scripts: Scripts) -> None:
    part, old, new = ExtensionPart(run_dir), _peer(scripts), _peer(scripts, told="new")
    await part.apply([Put(old)])
    await part.apply([Put(new, old)])
    assert [line.split("[")[1].split("]")[0] for line in scripts.ran] == ["data", "data", "new"]
    assert [line.split()[0] for line in scripts.ran] == ["add", "remove", "add"]


async def test_failed_command_is_named_with_what_it_said_and_stops_no_other(
    run_dir: Path, scripts: Scripts
) -> None:
    bad, good = _peer(scripts, 1), _peer(scripts, 2)
    failing = ExtensionPeer(
        bad.subnets, bad.public_ips, "", scripts.make("bad", "echo went wrong >&2; exit 3"), ()
    )
    part = ExtensionPart(run_dir)
    (failure,) = await part.apply([Put(failing), Put(good)])
    assert failure.op == Put(failing)
    assert "ended with 3: went wrong" in str(failure.error)
    assert dict(await part.read_back(Scope())) == {good.key: good}


async def test_command_that_is_not_there_is_a_failure_with_its_name(run_dir: Path, scripts: Scripts) -> None:
    lost = ExtensionPeer(_peer(scripts).subnets, (), "", ("/nowhere/to/be/found",), ())
    (failure,) = await ExtensionPart(run_dir).apply([Put(lost)])
    assert "cannot run '/nowhere/to/be/found': No such file" in str(failure.error)


async def test_command_that_hangs_is_killed_with_its_children_at_the_deadline(
    run_dir: Path, scripts: Scripts, tmp_path: Path
) -> None:
    hanging = scripts.make("hang", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    peer = ExtensionPeer(_peer(scripts).subnets, (), "", hanging, ())
    (failure,) = await ExtensionPart(run_dir, deadline=1.0).apply([Put(peer)])
    assert "did not end within 1 s and was killed" in str(failure.error)
    child = int((tmp_path / "child").read_text())
    async with asyncio.timeout(WAIT_S):
        while not _ended(child):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nobody tells of a stranger's end


def _ended(pid: int) -> bool:
    """Gone, or a zombie that its new parent has not asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_prestartup_that_fails_or_prints_too_much_is_refused(run_dir: Path, scripts: Scripts) -> None:
    part = ExtensionPart(run_dir)
    with pytest.raises(KernelError, match="ended with 1"):
        await part.print_once(scripts.make("no", "exit 1"))
    with pytest.raises(KernelError, match="bytes, more than"):
        await part.print_once(scripts.make("much", f"head -c {LONGEST_OUTPUT + 1} /dev/zero | tr '\\0' x"))
    assert (await part.print_once(scripts.make("yes", "echo x"))).output == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"printed": 7, "ran": []}',
        '{"printed": null, "ran": [{}]}',
        '{"printed": null, "ran": 1}',
    ],
)
async def test_odd_file_is_as_none(run_dir: Path, text: str, scripts: Scripts) -> None:
    run_dir.mkdir()
    (run_dir / FILE_NAME).write_text(text)
    part, peer = ExtensionPart(run_dir), _peer(scripts)
    assert dict(await part.read_back(Scope())) == {}
    assert await part.apply([Put(peer)]) == ()
    assert json.loads((run_dir / FILE_NAME).read_text())["ran"][0]["subnets"] == ["10.50.1.0/24"]


async def test_many_peers_run_at_once_but_not_all(run_dir: Path, scripts: Scripts) -> None:
    peers = [_peer(scripts, number) for number in range(1, 31)]
    part = ExtensionPart(run_dir)
    assert await part.apply([Put(peer) for peer in peers]) == ()
    assert len(scripts.ran) == 30
    assert len(await part.read_back(Scope())) == 30


async def test_cleanup_that_took_the_file_away_makes_the_commands_run_again(
    run_dir: Path, scripts: Scripts
) -> None:
    part, peer = ExtensionPart(run_dir), _peer(scripts)
    assert await part.apply([Put(peer)]) == ()
    assert await part.read_back(Scope()) == {peer.key: peer}
    (run_dir / FILE_NAME).unlink()
    assert await part.read_back(Scope()) == {}
    assert await part.apply([Put(peer)]) == ()
    assert len(scripts.ran) == 2
    assert await part.read_back(Scope()) == {peer.key: peer}
