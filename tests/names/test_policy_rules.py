"""The resolver on a host with policy rules of its own, in a namespace: its address is a route of the main table."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

import dns.message
import pytest

from flanpy.clock import SystemClock
from flanpy.names.resolver.server import Resolver
from tests.names.test_table import SHOP, table
from tests.netns import namespace

pytestmark = pytest.mark.netns

RESOLVER = IPv4Address("169.254.53.53")


async def _answered(kind: int) -> str:
    served = Resolver(table(), lambda _source, _link: SHOP, tuple, clock=SystemClock())
    await served.open(RESOLVER, 53)
    port = socket.socket(socket.AF_INET, kind)  # here, as a thread of its own would be in another namespace
    with port:
        port.setblocking(False)
        port.bind(("127.0.0.1", 0))
        try:
            async with asyncio.timeout(5):
                return await _ask(port, kind)
        finally:
            await served.close()


async def _ask(asker: socket.socket, kind: int) -> str:
    loop, question = asyncio.get_running_loop(), dns.message.make_query("web", "A").to_wire()
    await loop.sock_connect(asker, (str(RESOLVER), 53))
    framed = len(question).to_bytes(2, "big") + question if kind == socket.SOCK_STREAM else question
    await loop.sock_sendall(asker, framed)
    octets = await loop.sock_recv(asker, 4096)
    return str(dns.message.from_wire(octets[2:] if kind == socket.SOCK_STREAM else octets).answer[0][0])


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("rule", ["", "rule add to 192.0.2.9 lookup 153 pref 1"])
def test_answers_leave_a_host_that_has_policy_rules(kind: int, rule: str) -> None:
    with namespace("names") as here:
        here.ip(f"route add local {RESOLVER} dev lo proto 70 table main")
        if rule:
            here.ip(rule)
        assert here.do(lambda: asyncio.run(_answered(kind))) == "10.96.2.2"
