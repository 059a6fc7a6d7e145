"""Names as Docker's documents tell them, as 20.10 and 28 write them, and the follower on a Docker of this test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flanpy.clock import SystemClock
from flanpy.docker.follow import NamesFollower
from flanpy.docker.names import Names, by_network, container_names, stamp
from tests.names.test_table import box

ID = "0123456789abcdef" * 4


def end(address: str, address6: str = "", aliases: list[str] | None = None) -> dict[str, Any]:
    return {
        "EndpointID": f"e{address}",
        "IPAddress": address,
        "GlobalIPv6Address": address6,
        "Aliases": aliases,
    }


def inspected(name: str, **networks: dict[str, Any]) -> dict[str, Any]:
    return {"Id": ID, "Name": f"/{name}", "NetworkSettings": {"Networks": networks}}


def listed(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "Names": [document["Name"]]}


def test_names_of_a_container_are_its_own_and_its_aliases_without_the_short_id() -> None:
    document = inspected(
        "web-1",
        shop=end("10.96.1.2", "fd96::2", [ID[:12], "web", "web-1"]),
        bridge=end("10.50.1.2"),
        stopped=end(""),
        host={"IPAddress": None},
    )
    assert container_names(document) == {
        "shop": box("web-1", "10.96.1.2", "fd96::2", aliases=("web",)),
        "bridge": box("web-1", "10.50.1.2"),
    }


@pytest.mark.parametrize(
    ("created", "ms"),
    [
        ("2026-12-01T00:00:00.123456789Z", 1_796_083_200_123),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        (7, 0),
    ],
)
def test_age_of_a_container_is_when_docker_made_it(created: object, ms: int) -> None:
    document = {**inspected("web", shop=end("10.96.1.2")), "Created": created}
    assert container_names(document)["shop"].created == ms


def test_container_without_networks_has_no_names() -> None:
    assert container_names({"Id": ID, "Name": "/a"}) == {}
    assert container_names({"Id": ID, "Name": "/a", "NetworkSettings": {"Networks": None}}) == {}


def test_stamp_is_another_once_a_name_or_an_address_is() -> None:
    one = listed(inspected("web", shop=end("10.96.1.2")))
    assert stamp(one) == stamp(json.loads(json.dumps(one)))
    for other in (
        listed(inspected("db", shop=end("10.96.1.2"))),
        listed(inspected("web", shop=end("10.96.1.3"))),
        listed(inspected("web", lab=end("10.96.1.2"))),
        {**one, "Id": "other"},
    ):
        assert stamp(other) != stamp(one)


def test_networks_have_their_containers_in_order() -> None:
    found = by_network([{"b": box("z", "10.0.0.1")}, {"b": box("a", "10.0.0.2"), "a": box("a", "10.1.0.1")}])
    assert [(network, [one.name for one in boxes]) for network, boxes in found.items()] == [
        ("a", ["a"]),
        ("b", ["a", "z"]),
    ]


class Engine:
    """A server of the three requests on a unix socket; `containers` are what it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self._streams: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for stream in self._streams:
            stream.close()
        self._streams.clear()
        self.path.unlink(missing_ok=True)

    def tell(self) -> None:
        for stream in self._streams:
            stream.write(b'{"Type":"container"}\n')

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resource = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(resource)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        if resource.startswith("/events?"):
            self._streams.append(writer)
            return
        found: Any = [listed(one) for one in self.containers.values()]
        if resource != "/containers/json":
            found = self.containers[resource.split("/")[2]]
        writer.write(json.dumps(found).encode())
        writer.close()


@asynccontextmanager
async def following(path: Path) -> AsyncIterator[tuple[Engine, asyncio.Queue[Names], list[str]]]:
    engine = Engine(path / "docker.sock")
    await engine.start()
    published: asyncio.Queue[Names] = asyncio.Queue()
    said: list[str] = []
    follower = NamesFollower(engine.path, path / "daemon.json", published.put_nowait, SystemClock())
    task = asyncio.create_task(follower.run(said.append))
    try:
        yield engine, published, said
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await engine.stop()


def add(engine: Engine, name: str, address: str) -> None:
    engine.containers[name] = {**inspected(name, shop=end(address)), "Id": name}


@pytest.mark.asyncio
async def test_follower_tells_what_runs_and_each_change_and_asks_only_of_what_is_new(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, published, _):
        assert await published.get() == {}
        add(engine, "web", "10.96.1.2")
        engine.tell()
        assert await published.get() == {"shop": (box("web", "10.96.1.2"),)}
        engine.asked.clear()
        add(engine, "db", "10.96.1.3")
        engine.tell()
        assert [one.name for one in (await published.get())["shop"]] == ["db", "web"]
        assert set(engine.asked) == {"/containers/json", "/containers/db/json"}
        assert engine.asked.count("/containers/db/json") == 1
        del engine.containers["web"]
        engine.tell()
        assert [one.name for one in (await published.get())["shop"]] == ["db"]


@pytest.mark.asyncio
async def test_follower_outlives_a_docker_that_goes_and_comes_back(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, published, said):
        assert await published.get() == {}
        await engine.stop()
        add(engine, "web", "10.96.1.2")
        await engine.start()
        assert await published.get() == {"shop": (box("web", "10.96.1.2"),)}
        assert [bool(one) for one in dict.fromkeys(said)] == [False, True]


@pytest.mark.asyncio
async def test_change_that_docker_lists_only_after_its_event_is_found_soon(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, published, _):
        await published.get()
        engine.tell()
        await asyncio.sleep(0.1)  # the look at the event is over, and found nothing
        add(engine, "web", "10.96.1.2")
        async with asyncio.timeout(5):
            assert await published.get() == {"shop": (box("web", "10.96.1.2"),)}


@pytest.mark.asyncio
async def test_odd_document_takes_no_other_containers_names(tmp_path: Path) -> None:
    async with following(tmp_path) as (engine, published, _):
        await published.get()
        add(engine, "odd", "no address")
        add(engine, "web", "10.96.1.2")
        engine.tell()
        assert await published.get() == {"shop": (box("web", "10.96.1.2"),)}
