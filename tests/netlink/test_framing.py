"""Netlink framing, held to pyroute2's own encoder and parser, and to bytes that no kernel sends."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2 import netlink
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from flanpy.netlink import numbers
from flanpy.netlink.framing import (
    HEADER,
    HEADER_SIZE,
    attribute,
    attributes,
    each_attribute,
    frame,
    messages,
    number,
    refusal,
    text,
)

_LINK_HEADER = struct.Struct("=BxHiII")
_NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=15
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (numbers.REQUEST, netlink.NLM_F_REQUEST),
        (numbers.ACK, netlink.NLM_F_ACK),
        (numbers.DUMP, netlink.NLM_F_DUMP),
        (numbers.CREATE, netlink.NLM_F_CREATE),
        (numbers.EXCL, netlink.NLM_F_EXCL),
        (numbers.REPLACE, netlink.NLM_F_REPLACE),
        (numbers.DUMP_INTR, netlink.NLM_F_DUMP_INTR),
        (numbers.ACK_TLVS, netlink.NLM_F_ACK_TLVS),
        (numbers.MSG_ERROR, netlink.NLMSG_ERROR),
        (numbers.MSG_DONE, netlink.NLMSG_DONE),
        (numbers.EXT_ACK, netlink.NETLINK_EXT_ACK),
        (numbers.STRICT_CHECK, netlink.NETLINK_GET_STRICT_CHK),
        (numbers.ADD_MEMBERSHIP, netlink.NETLINK_ADD_MEMBERSHIP),
        (numbers.NESTED, netlink.NLA_F_NESTED),
    ],
)
def test_number_is_pyroute2s(ours: int, theirs: int) -> None:
    assert ours == theirs


@given(name=_NAMES, mtu=st.integers(68, 65535), index=st.integers(1, 2**31 - 1))
def test_link_message_that_pyroute2_encodes_is_read_back(name: str, mtu: int, index: int) -> None:
    theirs = ifinfmsg()
    theirs["index"] = index
    theirs["attrs"] = [("IFLA_IFNAME", name), ("IFLA_MTU", mtu)]
    theirs["header"]["type"] = 16
    theirs.encode()
    data = bytes(theirs.data)
    ((start, end, kind, _, _, _),) = messages(data)
    found = attributes(data, start + HEADER_SIZE + _LINK_HEADER.size, end)
    assert kind == 16
    assert _LINK_HEADER.unpack_from(data, start + HEADER_SIZE)[2] == index
    assert (text(found[3]), number(found[4])) == (name, mtu)


@given(name=_NAMES, mtu=st.integers(68, 65535), index=st.integers(1, 2**31 - 1))
def test_link_message_of_ours_is_read_by_pyroute2(name: str, mtu: int, index: int) -> None:
    body = _LINK_HEADER.pack(0, 1, index, 0, 0)
    body += attribute(3, name.encode() + b"\0") + attribute(4, struct.pack("=I", mtu))
    theirs = ifinfmsg(bytes(frame(16, 0, body)))
    theirs.decode()
    assert theirs["index"] == index
    assert (theirs.get_attr("IFLA_IFNAME"), theirs.get_attr("IFLA_MTU")) == (name, mtu)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_end_and_never_leave_the_buffer(data: bytes) -> None:
    for start, end, *_ in messages(data):
        assert end - start >= HEADER_SIZE
        assert start + HEADER_SIZE <= len(data)
    assert len(attributes(data, 0, len(data))) <= len(data) // 4
    pairs = list(each_attribute(data))
    assert dict(pairs) == attributes(data, 0, len(data))


@pytest.mark.parametrize("length", range(HEADER_SIZE))
def test_message_shorter_than_its_header_ends_the_walk(length: int) -> None:
    assert list(messages(HEADER.pack(length, 16, 0, 1, 0) + bytes(32))) == []


@pytest.mark.parametrize("length", range(4))
def test_attribute_shorter_than_its_header_ends_the_walk(length: int) -> None:
    assert list(each_attribute(struct.pack("=HH", length, 1) + bytes(32))) == []


def test_acknowledgement_is_no_refusal_and_a_refusal_has_errno_and_text() -> None:
    acknowledged = HEADER.pack(HEADER_SIZE + 20, numbers.MSG_ERROR, 0, 1, 0) + bytes(20)
    assert refusal(acknowledged, 0, len(acknowledged), 0) is None
    said = attribute(1, b"Device is up\0")
    body = struct.pack("=i", -16) + bytes(HEADER_SIZE) + said
    refused = HEADER.pack(HEADER_SIZE + len(body), numbers.MSG_ERROR, numbers.ACK_TLVS, 1, 0) + body
    found = refusal(refused, 0, len(refused), numbers.ACK_TLVS)
    assert found is not None
    assert (found.errno, found.text) == (16, "Device is up")
