r"""Names of links that are bytes and no UTF-8: one text for each (`VPN\xb1`), which leads back to the link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.kernel.ethtool import Ethtool
from flanpy.kernel.host import read_links
from flanpy.kernel.link_counters import read_counters
from flanpy.kernel.request import RequestSocket, open_netlink
from flanpy.kernel.sysctl import ProcSysctls
from flanpy.kernel.underlay import HostPicture
from flanpy.netlink.framing import packed, text
from flanpy.udp.bpf.netlink import TrafficControl
from flanpy.udp.supervisor import _index_of
from tests.netns import namespace

RAW = (b"VPN\xb1\xb1", b"caf\xe9", "узел".encode(), b"back\\xb1", b"\xff\\x5c")


@given(name=st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name))
def test_text_of_a_name_can_be_encoded_and_leads_back_to_its_bytes(name: bytes) -> None:
    assert packed(text(name + b"\0")) == name
    assert packed(os.fsdecode(name)) == name or b"\\x" in name
    text(name).encode("utf-8")


@given(one=st.binary(max_size=6), other=st.binary(max_size=6))
def test_two_names_have_two_texts(one: bytes, other: bytes) -> None:
    one, other = one.replace(b"\0", b""), other.replace(b"\0", b"")
    assert (text(one) == text(other)) is (one == other)


@pytest.mark.netns
@pytest.mark.asyncio
@pytest.mark.parametrize("raw", RAW)
async def test_link_of_such_a_name_is_one_link_to_all_readers_and_writers(raw: bytes) -> None:
    with namespace("names") as here:
        here.run("ip", "link", "add", os.fsdecode(raw), "type", "bridge")
        shown = text(raw)
        requests = RequestSocket(here.do(open_netlink))
        try:
            links = await read_links(requests, learn=lambda *_: None)
        finally:
            requests.close()
        assert shown in {link.name for link in links}
        picture = HostPicture(tuple(links))
        for typed in (shown, *([] if rb"\x" in raw else [os.fsdecode(raw)])):
            found = picture.named(typed)
            assert found is not None
            assert found.name == shown
        assert list(here.do(lambda: read_counters([shown], Path("/proc/thread-self/net/dev")))) == [shown]
        assert here.do(lambda: Ethtool().driver(shown)) == "bridge"
        assert here.do(lambda: _by_netlink(shown)) == (shown, True)
        setting = f"net/ipv4/conf/{shown}/rp_filter"
        here.do(lambda: ProcSysctls().write(setting, "2"))
        assert here.do(lambda: ProcSysctls().read(setting)) == "2"
        assert here.do(lambda: _index_of(shown)) > 1


def _by_netlink(name: str) -> tuple[str, bool]:
    netlink = TrafficControl()
    try:
        link = netlink.link(name)
        assert link is not None
        return netlink.name_of(link.index), netlink.link(name + "0") is None
    finally:
        netlink.close()
