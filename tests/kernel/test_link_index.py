"""The index of a link is the present one, however links of its name come and go."""

from __future__ import annotations

import os

import pytest

from flanpy.kernel.link_port import LinkPort
from flanpy.kernel.request import RequestSocket, open_netlink
from flanpy.netlink.framing import text
from tests.netns import namespace

pytestmark = [pytest.mark.netns, pytest.mark.asyncio]


@pytest.mark.parametrize("raw", [b"flannel.1", b"fifteen-letters", b"VPN\xb1"])
async def test_index_follows_a_link_that_is_made_anew_renamed_or_deleted(raw: bytes) -> None:
    name, shown = os.fsdecode(raw), text(raw)
    with namespace("index") as here:
        requests = RequestSocket(here.do(open_netlink))
        try:
            port = LinkPort(requests)
            assert await port.index_of(shown) is None
            for index in (71, 72):
                here.run("ip", "link", "add", name, "index", str(index), "type", "bridge")
                assert [await port.index_of(shown) for _ in range(2)] == [index, index]
                here.run("ip", "link", "del", name)
                assert await port.index_of(shown) is None
            here.run("ip", "link", "add", name, "index", "73", "type", "bridge")
            assert await port.index_of(shown) == 73
            here.run("ip", "link", "set", name, "name", "other")
            here.run("ip", "link", "add", name, "index", "74", "type", "bridge")
            assert await port.index_of(shown) == 74
            assert await port.index_of("other") == 73
        finally:
            requests.close()


async def test_no_other_request_is_sent_for_a_known_link(monkeypatch: pytest.MonkeyPatch) -> None:
    with namespace("index") as here:
        requests = RequestSocket(here.do(open_netlink))
        try:
            port = LinkPort(requests)
            here.run("ip", "link", "add", "one", "index", "71", "type", "bridge")
            await port.index_of("one")
            monkeypatch.setattr(requests, "ask", None)
            assert await port.index_of("one") == 71
        finally:
            requests.close()
