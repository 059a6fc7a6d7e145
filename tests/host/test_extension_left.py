"""Extension commands for who cleans up: a file of the service's user says for whom, root's settings say what."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanpy.host.extension import FILE_NAME
from flanpy.host.extension_left import ExtensionLeft, command_line
from flanpy.model.objects import ExtensionPeer
from flanpy.model.ops import Delete, OpFailure, Scope

pytestmark = pytest.mark.asyncio

SERVICE_USER = 65534


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Below /tmp itself, where any user can go."""
    path = Path(tempfile.mkdtemp(prefix="fpleft-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _record(run_dir: Path, *removes: list[str]) -> None:
    rows = [
        {"subnets": [f"10.50.{number}.0/24"], "public_ips": ["192.0.2.9"], "told": "data"}
        | {"add": [], "remove": remove}
        for number, remove in enumerate(removes)
    ]
    (run_dir / FILE_NAME).write_text(json.dumps({"printed": None, "ran": rows}))


def _script(run_dir: Path, body: str) -> str:
    path = run_dir / "remove"
    path.write_text(f"#!/bin/sh\nread told\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def _cleaned(left: ExtensionLeft) -> tuple[OpFailure, ...]:
    return await left.apply([Delete(obj) for obj in (await left.read_back(Scope())).values()])


async def test_command_of_the_file_is_never_run_unless_our_settings_name_it(run_dir: Path) -> None:
    trap = run_dir / "trap"
    _record(run_dir, ["/usr/bin/touch", str(trap)], ["/usr/bin/touch", str(trap), "more"])
    for allowed in ([], ["/usr/bin/touch"], ["/usr/bin/true"], [f"/usr/bin/touch '{trap} more'"]):
        left = ExtensionLeft(run_dir, allowed)
        assert await _cleaned(left) == ()
        assert len(left.refused) == 2
        assert not trap.exists()


async def test_allowed_command_runs_with_its_environment_and_the_file_is_not_written(run_dir: Path) -> None:
    script = _script(run_dir, f'echo "$SUBNET $PUBLIC_IP $told $1" >> {run_dir}/ran')
    _record(run_dir, [script, "a b"])
    before = (run_dir / FILE_NAME).read_bytes()
    left = ExtensionLeft(run_dir, [f"{script} 'a b'"])
    (peer,) = (await left.read_back(Scope())).values()
    assert isinstance(peer, ExtensionPeer)
    assert command_line(peer) == f"SUBNET=10.50.0.0/24 PUBLIC_IP=192.0.2.9 {script} 'a b'"
    assert await _cleaned(left) == ()
    assert (run_dir / "ran").read_text() == "10.50.0.0/24 192.0.2.9 data a b\n"
    assert (left.refused, (run_dir / FILE_NAME).read_bytes()) == ((), before)


@pytest.mark.netns
async def test_allowed_command_runs_as_the_files_owner_with_the_daemons_capabilities_alone(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_ROOT", "yes")
    words = 'grep -E "^(Uid|Gid|Groups|Cap...|NoNewPrivs):" /proc/self/status; echo "${SECRET_OF_ROOT:-none}"'
    script = _script(run_dir, f"({words}) > {run_dir}/out")
    _record(run_dir, [script])
    (run_dir / "out").touch()
    for path in (run_dir, run_dir / "out"):  # the file stays root's: who owns its directory can put any there
        os.chown(path, SERVICE_USER, SERVICE_USER)
    assert await _cleaned(ExtensionLeft(run_dir, [script])) == ()
    net_admin_and_raw = f"{(1 << 12) | (1 << 13):016x}"
    rows = [line.split() for line in (run_dir / "out").read_text().splitlines()]
    assert rows == [
        ["Uid:", *["65534"] * 4],
        ["Gid:", *["65534"] * 4],
        ["Groups:"],
        *([f"{name}:", net_admin_and_raw] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        ["NoNewPrivs:", "1"],
        ["none"],
    ]


async def test_commands_that_take_too_long_together_are_ended(run_dir: Path) -> None:
    script = _script(run_dir, "exec sleep 600")
    _record(run_dir, *([[script]] * 20))
    failures = await _cleaned(ExtensionLeft(run_dir, [script], patience=0.5))
    assert len(failures) == 20
    assert {str(failure.error) for failure in failures} == {"all commands together took longer than 0.5 s"}


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "junk", "deep"])
async def test_file_that_is_none_of_the_daemons_tells_of_nothing(run_dir: Path, kind: str) -> None:
    path, script = run_dir / FILE_NAME, _script(run_dir, "exit 1")
    match kind:
        case "link":
            _record(run_dir, [script])
            path.rename(run_dir / "elsewhere")
            path.symlink_to("elsewhere")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "junk":
            path.write_text('{"printed": 7, "ran": [')
        case _:
            path.write_text("[" * 100_000)
    left = ExtensionLeft(run_dir, [script])
    assert (left.found, await _cleaned(left)) == (False, ())
