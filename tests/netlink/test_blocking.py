"""The blocking netlink socket against the kernel."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from flanpy.errors import KernelError
from flanpy.netlink.blocking import BlockingSocket, Request
from flanpy.netlink.framing import attribute, attributes, text
from flanpy.netlink.numbers import CREATE, EXCL
from tests.netns import Namespace, namespace

pytestmark = pytest.mark.netns

_LINK = struct.Struct("=BxHiII")
_NEWLINK, _GETLINK = 16, 18
_IFNAME, _LINKINFO, _INFO_KIND = 3, 18, 1


@pytest.fixture(name="netns")
def _netns() -> Iterator[Namespace]:
    with namespace("blocking") as here:
        yield here


def _bridge(name: str) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, name.encode() + b"\0")
    body += attribute(_LINKINFO, attribute(_INFO_KIND, b"bridge"))
    return Request(_NEWLINK, CREATE | EXCL, body)


def _names(netlink: BlockingSocket) -> list[str]:
    answers = netlink.dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0))
    return [text(attributes(one.body, _LINK.size, len(one.body))[_IFNAME]) for one in answers]


def test_change_ask_and_dump_agree_and_a_refusal_names_the_kernels_reason(netns: Namespace) -> None:
    netlink = BlockingSocket(socket.NETLINK_ROUTE)
    assert netlink.port == 0
    netns.do(netlink.open)
    netlink.change(_bridge("d0"))
    assert netlink.port > 0
    assert _names(netlink) == ["lo", "d0"]
    answer = netlink.ask(Request(_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFNAME, b"d0\0")))
    assert answer is not None
    assert answer.kind == _NEWLINK
    with pytest.raises(KernelError) as twice:
        netlink.change(_bridge("d0"))
    assert twice.value.errno == errno.EEXIST
    with pytest.raises(KernelError) as nameless:
        netlink.change(_bridge("a-name-that-is-too-long"))
    assert str(nameless.value).endswith(": Numerical result out of range")
    assert "the kernel refused" not in str(nameless.value)
    assert _names(netlink) == ["lo", "d0"]
    netlink.close()


def test_batch_reports_the_refused_request_and_a_later_request_gets_its_own_answer(netns: Namespace) -> None:
    netlink = BlockingSocket(socket.NETLINK_ROUTE)
    assert netlink.port == 0
    netns.do(netlink.open)
    with pytest.raises(KernelError) as refused:
        netlink.batch(
            [Request(one.kind, one.flags | 0x4, one.body) for one in map(_bridge, ("d0", "d0", "d1"))]
        )
    assert refused.value.errno == errno.EEXIST
    assert sorted(_names(netlink)) == ["d0", "d1", "lo"]
    netlink.close()
