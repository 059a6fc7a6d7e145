"""The exchange between hosts: only peers are answered, and no report is believed unchecked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from flanpy.clock import SystemClock
from flanpy.model.reach import LayerHealth, PeerReach, Reach, ReachReport
from flanpy.probe import exchange
from flanpy.probe.exchange import MeshServer, ask
from flanpy.probe.mesh import Mesh, Node
from flanpy.probe.rows import Told, mesh_rows, own_document, read_document
from flanpy.probe.target import tokens_at
from flanpy.store.schema import UNUSABLE_TOKEN
from tests.fakes.clock import FakeClock
from tests.probe.worlds import target

HERE = IPv4Address("127.0.0.1")
TOKEN = "0123456789abcdef0123456789abcdef"


def report() -> ReachReport:
    one = target()
    health = LayerHealth(4, 4, 0.0, rtt=0.002)
    peer = PeerReach(one.key, one.node_id, None, None, Reach.REACHABLE, overlay=health)
    return ReachReport({one.key: peer}, of=1)


DOCUMENT = own_document(report(), node_id="n0", subnet="10.50.0.0-24", at=5.0)


def free_port() -> int:
    with socket.create_server((str(HERE), 0)) as server:
        return int(server.getsockname()[1])


def served(work: Callable[[int], Awaitable[None]], *, tokens: frozenset[str] = frozenset({TOKEN})) -> None:
    """Run `work` beside a server at that port."""

    async def both() -> None:
        port = free_port()
        server = MeshServer(
            clock=SystemClock(), port=port, address=lambda: HERE, tokens=lambda _: tokens,
            document=lambda: DOCUMENT,
        )  # fmt: skip
        task = asyncio.create_task(server.run())
        try:
            async with asyncio.timeout(60):
                while server._bound is None:  # noqa: ASYNC110, it tells nobody
                    await asyncio.sleep(0.01)
                await work(port)
        finally:
            task.cancel()

    asyncio.run(both())


def test_document_comes_over_as_it_was_made() -> None:
    async def work(port: int) -> None:
        assert await ask(HERE, port, TOKEN) == {"at": 5.0, "rows": DOCUMENT["rows"]}

    served(work)


@pytest.mark.parametrize(
    ("tokens", "given", "answered"),
    [
        (frozenset(), "", False),
        (frozenset(), TOKEN, False),
        (frozenset({TOKEN}), "", False),
        (frozenset({TOKEN}), TOKEN[:-1], False),
        (frozenset({TOKEN}), f"{TOKEN}0", False),
        (frozenset({UNUSABLE_TOKEN}), UNUSABLE_TOKEN, False),
        (frozenset({TOKEN, "other"}), "other", True),
        (frozenset({""}), "", True),
        (frozenset({"", "other"}), TOKEN, True),
    ],
)
def test_host_is_answered_by_the_token_of_its_lease_or_as_one_of_before_it(
    tokens: frozenset[str], given: str, answered: bool
) -> None:
    async def work(port: int) -> None:
        assert (await ask(HERE, port, given) is not None) == answered

    served(work, tokens=tokens)


def test_host_of_before_the_token_is_asked_in_words_that_it_reads() -> None:
    """It takes the path from the first line and reads no other."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"at": 1, "rows": []}).encode())
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(talk, str(HERE), 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            assert await ask(HERE, port, TOKEN) == {"at": 1, "rows": []}

    asyncio.run(work())
    assert heard[0].split(b"\r\n")[0] == b"GET /v1/reachability HTTP/1.1"


def test_tokens_are_those_of_the_hosts_at_an_address_and_flannels_never_ask() -> None:
    one, two, old, flannels = (target(number) for number in (1, 2, 3, 4))
    peers = [
        replace(one, token="a"),
        replace(two, token="b", underlay=one.underlay),  # behind one address
        replace(old, token=""),
        replace(flannels, token=None),
    ]
    assert tokens_at(one.underlay, peers) == {"a", "b"}
    assert tokens_at(one.overlay, peers) == {"a"}
    assert tokens_at(old.overlay, peers) == {""}
    assert tokens_at(flannels.overlay, peers) == frozenset()
    assert tokens_at(HERE, peers) == frozenset()


@pytest.mark.parametrize(
    "words",
    [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"POST /v1/reachability HTTP/1.1\r\n\r\n", b"x" * 9000],
)
def test_nonsense_does_not_stop_the_server(words: bytes) -> None:
    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection(str(HERE), port)
        writer.write(words)
        writer.write_eof()
        with suppress(ConnectionResetError):  # it did not read all that was sent
            assert b"200" not in await reader.read(4096)
        writer.close()
        assert await ask(HERE, port, TOKEN) is not None

    served(work)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\nnot json",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 500 no\r\n\r\n{}",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (exchange.MOST_BYTES + 1),
    ],
    ids=["text", "deep", "refusal", "empty", "endless"],
)
def test_bad_answers_are_no_answer(said: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(talk, str(HERE), 0)
        async with server:
            assert await ask(HERE, server.sockets[0].getsockname()[1]) is None

    asyncio.run(work())


def row(**changes: Any) -> dict[str, Any]:
    good = {"subnet": "10.50.1.0-24", "reach": "reachable", "rtt_ms": 1.5, "loss": 0.0, "trouble": ""}
    return {**good, **changes}


@pytest.mark.parametrize(
    "bad",
    [
        row(reach="fine"), row(trouble="Gremlins"), row(rtt_ms=-1), row(rtt_ms="1"), row(rtt_ms=True),
        row(loss=1.5), row(subnet=7), row(rtt_ms=float("nan")), row(rtt_ms=1e300), "text", None, [],
    ],
)  # fmt: skip
def test_rows_that_cannot_be_are_left_out_and_others_stay(bad: object) -> None:
    found = read_document(json.dumps({"at": 1, "rows": [bad, row()]}).encode())
    assert found == {"at": 1, "rows": [row()]}


def test_rows_about_hosts_that_we_do_not_know_are_left_out() -> None:
    document = {"at": 1, "rows": [row(), row(subnet="10.66.0.0-24")]}
    found = list(mesh_rows(document, sender="n2", names={"10.50.1.0-24": "n1"}))
    assert [(one["from"], one["to"]) for one in found] == [("n2", "n1")]


def test_mesh_puts_rows_of_all_together_and_asks_not_again_at_once() -> None:
    asked: list[Any] = []

    async def answer(address: Any, _port: int, token: str) -> dict[str, Any] | None:
        asked.append((address, token))
        return {"at": 2.0, "rows": [row(subnet="10.50.0.0-24", reach="unreachable")]}

    async def work() -> None:
        nodes = [Node("n0", "10.50.0.0-24"), Node("n1", "10.50.1.0-24", HERE)]
        mesh = Mesh(
            clock=FakeClock(),
            port=1,
            nodes=lambda: nodes,
            own=lambda: DOCUMENT,
            token=lambda: TOKEN,
            ask=answer,
        )
        found = await mesh.document()
        assert [(r["from"], r["to"], r["reach"]) for r in found["rows"]] == [
            ("n0", "n1", "reachable"),
            ("n1", "n0", "unreachable"),
        ]
        assert await mesh.document() is found
        assert asked == [(HERE, TOKEN)]

    asyncio.run(work())


def test_host_with_a_page_tells_its_address_and_containers_by_name() -> None:
    told = Told("https://192.0.2.1:8474/", ("shop-db", "shop-web"))
    document = own_document(report(), node_id="n0", subnet="10.50.0.0-24", at=5.0, told=told)
    found = read_document(json.dumps(document).encode())
    assert found is not None
    assert found["told"] == {"page": told.page, "containers": list(told.containers)}
    assert "told" not in DOCUMENT


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"page": "javascript:alert(1)", "containers": []}, {"page": "", "containers": []}),
        (
            {"page": "http://" + "x" * 300, "containers": ["a", 5, "b" * 300]},
            {"page": "", "containers": ["a"]},
        ),
        ({"page": 7, "containers": ["a"] * 5000}, {"page": "", "containers": ["a"] * 256}),
        ({"page": "http://h/"}, None),
        ("nonsense", None),
    ],
)
def test_what_a_host_tells_of_itself_is_bounded_and_its_link_is_of_the_web(told: Any, taken: Any) -> None:
    found = read_document(json.dumps({"at": 1, "rows": [], "told": told}).encode())
    assert found is not None
    assert found.get("told") == taken
