"""Our own programs import ours, whoever stands around: a foreign module in the directory or the environment."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from flanpy.children import command_of
from flanpy.daemon.looks.transit_watch import look
from flanpy.udp.forwarder.process import ForwarderProcess

SOURCES = Path(__file__).parents[1] / "flanpy"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that modules named like the library's make when they are imported; their directory is ours now."""
    found = tmp_path / "imported"
    for name in ("json", "struct", "asyncio", "numpy", "sitecustomize", "usercustomize", "flanpy"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(found)!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    return found


def test_the_look_at_the_packet_filter_imports_nothing_of_strangers(trap: Path) -> None:
    assert asyncio.run(look({"status": {}, "subnets": {"subnets": []}})).unread == ""
    assert not trap.exists()


def test_the_forwarder_imports_nothing_of_strangers(trap: Path) -> None:
    async def started() -> None:
        queue, other = os.pipe()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            process = await ForwarderProcess.spawn([queue], sock)
            try:
                await process.counters()
                assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
            finally:
                process.kill()
                await process.wait_ended()
                os.close(queue)
                os.close(other)

    asyncio.run(started())
    assert not trap.exists()


def test_python_is_started_in_one_way_only() -> None:
    """A new child that is started otherwise is found here."""
    starts = [path for path in SOURCES.rglob("*.py") if "sys.executable" in path.read_text()]
    assert starts == [SOURCES / "children.py"]
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        assert text.count("command_of(") - text.count("def command_of(") == text.count("cwd=DIRECTORY")
    assert command_of("flanpy.x")[1] == "-I"
