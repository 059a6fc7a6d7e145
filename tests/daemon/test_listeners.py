"""The listeners: a taken address is a condition, tried again, and keeps none of the others back."""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession, UnixConnector

from flanpy.config import Settings, load
from flanpy.daemon.looks.probing import Probing
from flanpy.daemon.serving.listeners import PATIENCE, RETRY_INTERVAL, SOCKET_NAME, Listeners
from flanpy.model.condition import Condition, ConditionType
from flanpy.probe.mesh import Mesh, Node
from flanpy.status.board import StatusBoard
from tests.fakes.clock import FakeClock
from tests.reconcile.rig import Rig

pytestmark = pytest.mark.asyncio

DEADLINE_S = 60.0


def _settings(run_dir: Path, *flags: str) -> Settings:
    return load([f"--run-dir={run_dir}", "--page-listen=off", *flags], {}, default_file=run_dir / "none.toml")


class Served:
    """Listeners that run on a fake clock."""

    def __init__(self, settings: Settings) -> None:
        self.clock = FakeClock()
        self.board = StatusBoard(self.clock)
        self.programmed = asyncio.Event()
        self.settings = settings
        self.listeners = Listeners(
            node_id="node-0",
            settings=lambda: settings,
            board=self.board,
            loop=Rig().loop,
            clock=self.clock,
            reload=self._reload,
            drain=self._reload,
            undrain=self._reload,
            keys=self._reload,
            rotate=self._reload,
            more_counts=lambda: (),
            remaining=self._remaining,
            programmed=self.programmed,
        )

    async def _reload(self) -> dict[str, Any]:
        return {"changed": []}

    async def _remaining(self, _leases: object) -> dict[int, float]:
        return {}

    @property
    def condition(self) -> Condition:
        return next(c for c in self.board.snapshot.conditions if c.type is ConditionType.LISTENERS_UP)

    async def until(self, reason: str) -> None:
        """Let real work be done between steps of the clock until the condition has this reason."""
        async with asyncio.timeout(DEADLINE_S):
            while self.condition.reason != reason:
                await self.clock.advance(RETRY_INTERVAL)
                await asyncio.sleep(0.01)

    async def ask(self, resource: str) -> tuple[int, Any]:
        connector = UnixConnector(str(self.settings.run_dir / SOCKET_NAME))
        async with (
            ClientSession(connector=connector) as session,
            session.get(f"http://x{resource}") as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[Served]:
    served = Served(settings)
    task = asyncio.create_task(served.listeners.run())
    try:
        yield served
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until(condition: Callable[[], bool], served: Served) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await served.clock.advance(RETRY_INTERVAL)
            await asyncio.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


async def test_nothing_listens_before_the_first_peers_stand_or_patience_ends(tmp_path: Path) -> None:
    async with _serving(_settings(tmp_path)) as served:
        await served.clock.advance(PATIENCE - 0.1)
        assert served.condition.reason == "NotTried"
        assert not (tmp_path / SOCKET_NAME).exists()
        served.programmed.set()
        await served.until("Listening")
        assert (await served.ask("/v1/status"))[1]["phase"] == "STARTING"


async def test_patience_ends_without_any_peer(tmp_path: Path) -> None:
    async with _serving(_settings(tmp_path)) as served:
        await served.clock.advance(PATIENCE + 0.1)
        await served.until("Listening")


async def test_taken_port_is_a_condition_and_keeps_no_other_listener_back(tmp_path: Path) -> None:
    free = _free_port()
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        flags = ["--healthz-ip=127.0.0.1", f"--healthz-port={taken}", f"--metrics-listen=127.0.0.1:{free}"]
        async with _serving(_settings(tmp_path, *flags)) as served:
            served.programmed.set()
            await served.until("CannotListen")
            assert f"127.0.0.1:{taken}" in served.condition.message
            assert (await served.ask("/v1/status"))[0] == 200
            with socket.create_connection(("127.0.0.1", free), timeout=2):
                pass
            squatter.close()
            await served.until("Listening")
            with socket.create_connection(("127.0.0.1", taken), timeout=2):
                pass


async def test_health_and_metrics_on_one_address_are_one_listener(tmp_path: Path) -> None:
    port = _free_port()
    flags = ["--healthz-ip=127.0.0.1", f"--healthz-port={port}", f"--metrics-listen=127.0.0.1:{port}"]
    async with _serving(_settings(tmp_path, *flags)) as served:
        served.programmed.set()
        await served.until("Listening")


async def test_run_dir_that_is_gone_is_a_condition_until_it_is_back(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    async with _serving(_settings(run_dir)) as served:
        served.programmed.set()
        await served.until("CannotListen")
        assert "--run-dir" in served.condition.message
        run_dir.mkdir()
        await served.until("Listening")
        assert (await served.ask("/v1/config"))[0] == 200


async def test_deleted_control_socket_is_made_anew_and_its_connections_stay(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    async with _serving(_settings(tmp_path)) as served:
        served.programmed.set()
        await served.until("Listening")
        async with ClientSession(connector=UnixConnector(str(path))) as session:
            async with session.get("http://x/v1/config") as answer:
                assert answer.status == 200
                await answer.read()
            path.unlink()
            await _until(path.exists, served)
            async with session.get("http://x/v1/config") as answer:
                assert answer.status == 200, "the connection from before"
        assert (await served.ask("/v1/config"))[0] == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert served.condition.reason == "Listening"
        path.unlink()
        await _until(path.exists, served)
        assert (await served.ask("/v1/config"))[0] == 200, "a second time"


async def test_run_dir_that_is_deleted_is_a_condition_and_the_socket_comes_back_with_it(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    async with _serving(_settings(run_dir)) as served:
        served.programmed.set()
        await served.until("Listening")
        shutil.rmtree(run_dir)
        await served.until("CannotListen")
        run_dir.mkdir()
        await served.until("Listening")
        assert (await served.ask("/v1/config"))[0] == 200


async def test_control_socket_of_another_daemon_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    async with _serving(_settings(tmp_path)) as served:
        served.programmed.set()
        await served.until("Listening")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            theirs = path.stat().st_ino
            for _ in range(3):
                await served.clock.advance(RETRY_INTERVAL)
                await asyncio.sleep(0.01)
            assert path.stat().st_ino == theirs
            path.unlink()
            await _until(path.exists, served)
            assert (await served.ask("/v1/config"))[0] == 200


async def test_listeners_are_closed_when_the_task_is_cancelled(tmp_path: Path) -> None:
    port = _free_port()
    async with _serving(_settings(tmp_path, "--healthz-ip=127.0.0.1", f"--healthz-port={port}")) as served:
        served.programmed.set()
        await served.until("Listening")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


async def test_peers_and_events_are_served_and_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    async with _serving(_settings(tmp_path)) as served:
        served.programmed.set()
        await served.until("Listening")
        served.board.note(stopping=True)
        assert await served.ask("/v1/peers") == (200, {"peers": []})
        status, said = await served.ask("/v1/events")
        assert status == 200
        assert (said["events"][-1]["kind"], said["events"][-1]["what"]) == ("phase_changed", "STOPPING")
        newest = said["events"][-1]["number"]
        assert await served.ask(f"/v1/events?after={newest}") == (200, {"epoch": "", "events": []})
        status, said = await served.ask("/v1/events?after=-1")
        assert (status, said["error"]) == (400, "after='-1' is no event number")


async def test_page_tells_the_verdicts_and_the_day_of_what_all_hosts_measured(tmp_path: Path) -> None:
    """The mesh is a real one, of which only the other host's answer is made up."""
    served = Served(_settings(tmp_path))
    row = {"subnet": "10.50.1.0-24", "reach": "reachable", "rtt_ms": 0.2, "loss": 0.0, "trouble": ""}
    lost = {**row, "subnet": "10.50.0.0-24", "reach": "unreachable", "trouble": "PortBlocked", "rtt_ms": None}

    async def ask(_address: object, _port: int, _token: str) -> dict[str, Any]:
        return {"at": 1.0, "rows": [lost], "told": {"page": "", "containers": ["shop-db"]}}

    nodes = (
        Node("id-0", "10.50.0.0-24", host="web-0"),
        Node("id-1", "10.50.1.0-24", IPv4Address("10.50.1.0"), host="web-1"),
    )
    own = {"at": 1.0, "rows": [row]}
    mesh = Mesh(clock=served.clock, port=1, nodes=lambda: nodes, own=lambda: own, token=lambda: "", ask=ask)
    listeners = replace(served.listeners, probing=cast("Probing", SimpleNamespace(mesh=mesh)))
    feed = listeners._feed(listeners._control(0.0))
    await feed.sample()
    document = await feed.document()
    assert document["cluster"]["text"] == "1 of 1 link broken: web-1 -> web-0: PortBlocked"
    assert document["mesh"]["told"] == {"web-1": {"page": "", "containers": ["shop-db"]}}
    assert {host: steps[-1] for host, steps in document["day"]["hosts"].items()} == {
        "web-0": "3",
        "web-1": "3",
    }
    pair = feed.pair("web-0", "web-1")
    assert (pair["out"]["worst"][-1], pair["back"]["worst"][-1]) == ("1", "3")
    assert (pair["out"]["rtt_ms"][-1], pair["back"]["rtt_ms"][-1]) == (0.2, None)
