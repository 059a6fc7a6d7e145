"""The resolver on real sockets: both protocols, the host's servers, strangers, and containers that ask too much."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address
from typing import Final

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from flanpy.clock import SystemClock
from flanpy.errors import HostError
from flanpy.names.resolver import limits
from flanpy.names.resolver.answers import Outcome
from flanpy.names.resolver.server import Resolver
from flanpy.names.resolver.upstreams import MOST_SERVERS, Upstream, is_answer, read_resolv_conf
from flanpy.names.table import Asker, NameTable
from tests.names.test_table import SHOP, table

HERE: Final = IPv4Address("127.0.0.1")
LOOPBACK: Final = socket.if_nametoindex("lo")


class Served:
    """A resolver on a free port of loopback."""

    def __init__(self, resolver: Resolver, port: int) -> None:
        self.resolver, self.port = resolver, port
        self.upstream = Upstream(HERE, port)

    async def ask(self, name: str, *, by_tcp: bool = False) -> dns.message.Message:
        query = dns.message.make_query(name, "A")
        send = dns.asyncquery.tcp if by_tcp else dns.asyncquery.udp
        return await send(query, str(HERE), port=self.port, timeout=5)

    def count(self, outcome: Outcome) -> int:
        return self.resolver.counts.questions.get(outcome, 0)


async def free_port(made: Resolver) -> int:
    """Listen on a port that is free for both protocols; the kernel chooses one that is free for UDP."""
    for _ in range(20):
        with suppress(HostError):
            return await made.open(HERE, 0)
    return await made.open(HERE, 0)


@asynccontextmanager
async def serving(
    *upstreams: Upstream, asker: Asker | None = SHOP, names: NameTable | None = None
) -> AsyncIterator[Served]:
    seen: list[int] = []

    def judge(source: IPv4Address, link: int) -> Asker | None:
        assert source == HERE
        seen.append(link)
        return asker

    made = Resolver(names or table(), judge, lambda: upstreams, clock=SystemClock())
    port = await free_port(made)
    try:
        yield Served(made, port)
        assert set(seen) <= {LOOPBACK}
    finally:
        await made.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the server work until it holds; the test's own time limit ends it otherwise."""
    while not holds():  # noqa: ASYNC110, the server has no event for a test
        await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.parametrize("by_tcp", [False, True])
async def test_name_is_answered_and_what_is_not_ours_is_asked_of_the_host_server(by_tcp: bool) -> None:
    async with serving(asker=Asker(("lab",), outside=False)) as beyond, serving(beyond.upstream) as served:
        own = await served.ask("web", by_tcp=by_tcp)
        assert str(own.answer[0][0]) == "10.96.2.2"
        passed_on = await served.ask("web.lab", by_tcp=by_tcp)
        assert str(passed_on.answer[0][0]) == "10.97.0.9"
        assert (await served.ask("example.org", by_tcp=by_tcp)).rcode() == dns.rcode.REFUSED
        assert served.count(Outcome.OWN) == 1
        assert served.count(Outcome.FORWARDED) == 2
        assert served.resolver.counts.seconds.count == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("by_tcp", [False, True])
async def test_server_that_is_away_is_passed_over_and_without_any_docker_is_told(by_tcp: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind((str(HERE), 0))
        port = nobody.getsockname()[1]
    away = Upstream(HERE, port)
    async with serving(asker=Asker(("lab",), outside=False)) as beyond:
        async with serving(away, beyond.upstream) as served:
            assert (await served.ask("web.lab", by_tcp=by_tcp)).answer
        async with serving(away) as served:
            assert (await served.ask("example.org", by_tcp=by_tcp)).rcode() == dns.rcode.SERVFAIL
            assert served.count(Outcome.FAILED) == 1
        async with serving() as served:
            assert (await served.ask("example.org", by_tcp=by_tcp)).rcode() == dns.rcode.REFUSED


@pytest.mark.asyncio
async def test_stranger_hears_nothing() -> None:
    async with serving(asker=None) as served:
        reader, writer = await asyncio.open_connection(str(HERE), served.port)
        query = dns.message.make_query("web", "A").to_wire()
        writer.write(len(query).to_bytes(2, "big") + query)
        assert await reader.read() == b""
        writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect((str(HERE), served.port))
            asking.send(query)
            await until(lambda: served.count(Outcome.REFUSED) == 2)
            with pytest.raises(BlockingIOError):
                asking.recv(512)


@pytest.mark.asyncio
async def test_container_that_asks_too_much_is_refused_and_not_left_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BURST", 3.0)
    monkeypatch.setattr(limits, "RATE", 0.0)
    async with serving() as served:
        codes = [(await served.ask("web")).rcode() for _ in range(5)]
    assert codes == [dns.rcode.NOERROR] * 3 + [dns.rcode.REFUSED] * 2


@pytest.mark.asyncio
async def test_questions_that_wait_for_a_silent_server_hold_up_no_others() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(HERE), 0))
        async with serving(Upstream(HERE, silent.getsockname()[1])) as served:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect((str(HERE), served.port))
                query = dns.message.make_query("example.org", "A").to_wire()
                for _ in range(limits.MOST_WAITING_OF_ONE + 20):
                    asking.send(query)
                    await asyncio.sleep(0)
                await until(lambda: served.count(Outcome.FAILED) >= 20)
                assert (await served.ask("web")).answer


@pytest.mark.asyncio
async def test_connections_of_one_container_are_counted_and_let_go() -> None:
    async with serving() as served:
        held = [
            await asyncio.open_connection(str(HERE), served.port)
            for _ in range(limits.MOST_CONNECTIONS_OF_ONE)
        ]
        reader, _ = await asyncio.open_connection(str(HERE), served.port)
        assert await reader.read() == b""
        for _, writer in held:
            writer.close()
        await until(lambda: not served.resolver._connections.total)
        assert (await served.ask("web", by_tcp=True)).answer


@pytest.mark.asyncio
async def test_junk_leaves_the_server_as_it_was() -> None:
    async with serving() as served:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((str(HERE), served.port))
            for octets in (b"", b"\0", bytes(12), b"\xff" * 4096, bytes(range(256))):
                asking.send(octets)
        _, writer = await asyncio.open_connection(str(HERE), served.port)
        writer.write(b"\xff\xff" + bytes(100))
        assert (await served.ask("web")).answer
        writer.close()


@pytest.mark.asyncio
async def test_address_that_somebody_has_is_one_clear_error() -> None:
    async with serving() as served:
        other = Resolver(NameTable("n1"), lambda _source, _link: None, tuple, clock=SystemClock())
        with pytest.raises(HostError, match=f"cannot listen on 127.0.0.1:{served.port}"):
            await other.open(HERE, served.port)
        await other.close()


def test_answer_counts_by_id_and_question() -> None:
    sent = dns.message.make_query("Example.org", "A", id=77).to_wire()
    right = dns.message.make_response(dns.message.from_wire(sent)).to_wire()
    assert is_answer(sent, right)
    assert is_answer(sent, right.lower().replace(right[:4].lower(), right[:4]))
    assert not is_answer(sent, sent)
    assert not is_answer(sent, b"\0\1" + right[2:])
    other = dns.message.make_query("example.net", "A", id=77)
    assert not is_answer(sent, dns.message.make_response(other).to_wire())
    assert is_answer(sent, right[:2] + b"\x80\x05" + bytes(8)), "a refusal may leave the question out"
    assert not is_answer(sent, right[:2] + b"\x80\x00" + bytes(8))
    assert not is_answer(sent, right[:11])


def test_servers_are_those_of_resolv_conf_without_ourselves() -> None:
    text = (
        "# nameserver 192.0.2.9\nnameserver 169.254.53.53\nnameserver 192.0.2.1 # near\nnameserver junk\n"
        "nameserver\nsearch example.org\nnameserver fd00::53\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
        "nameserver 192.0.2.3\n"
    )
    found = read_resolv_conf(text, (IPv4Address("169.254.53.53"),))
    assert [str(one.address) for one in found] == ["192.0.2.1", "fd00::53", "192.0.2.2"]
    assert len(found) == MOST_SERVERS


def test_source_that_was_forgotten_begins_anew_and_the_memory_has_an_end() -> None:
    rates = limits.Rates()
    for number in range(limits.MOST_SOURCES + 10):
        assert rates.take(IPv4Address(number + 1), 0.0)
    assert len(rates._buckets) == limits.MOST_SOURCES
    hungry = IPv4Address("10.0.0.1")
    taken = sum(rates.take(hungry, 1.0) for _ in range(int(limits.BURST) + 5))
    assert taken == int(limits.BURST)
    assert rates.take(hungry, 2.0)
