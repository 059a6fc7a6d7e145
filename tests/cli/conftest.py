"""The surroundings of CLI tests: commands in this process, a stand-in for the daemon's socket, a real etcd."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from flanpy.cli.main import run
from flanpy.store.session.etcd import EtcdSession
from tests.cli.stand_in import CONFIG, DIFF, STATUS, SUBNETS, VERDICT, StandIn, standing_in
from tests.conftest import EtcdSpace

T = TypeVar("T")
GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command line."""

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
        stand_in.answers = {
            "status": STATUS,
            "subnets": SUBNETS,
            "diff": DIFF,
            "config": CONFIG,
            "verdict": VERDICT,
        }
        yield stand_in


@dataclass(frozen=True, slots=True)
class Network:
    """A prefix of our own in a real etcd. Called, it runs a command on it."""

    space: EtcdSpace
    ctl: Ctl

    def __call__(self, *words: str) -> Ended:
        return self.ctl(*words, *self.flags)

    @property
    def prefix(self) -> str:
        return self.space.prefix

    @property
    def url(self) -> str:
        return ",".join(self.space.cluster.urls)

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--etcd-endpoints", self.url, "--etcd-prefix", self.prefix)

    def session(self, work: Callable[[EtcdSession], Awaitable[T]]) -> T:
        """Do something in etcd behind the command's back."""

        async def run() -> T:
            async with EtcdSession(self.space.settings) as session:
                return await work(session)

        return asyncio.run(run())

    def put(self, key: str, value: str, *, ttl: int = 0) -> int:
        """Put `subnets/<key>`, with a lease of `ttl` seconds unless 0; the lease's id."""

        async def work(session: EtcdSession) -> int:
            lease = await session.grant(ttl) if ttl else 0
            await session.put(f"{self.prefix}/subnets/{key}", value.encode(), lease)
            return lease

        return self.session(work)

    def configure(self, text: str) -> None:
        """Put the network config."""
        self.session(lambda session: session.put(f"{self.prefix}/config", text.encode()))

    def text(self, key: str) -> str | None:
        """Return the value of `<prefix>/<key>`, None if there is none."""
        found = self.session(lambda session: session.get(f"{self.prefix}/{key}"))
        return None if found is None else found.value.decode()


@pytest.fixture
def network(ctl: Ctl, etcd: EtcdSpace) -> Network:
    return Network(etcd, ctl)
