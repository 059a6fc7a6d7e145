"""Echo packets: what one host sends another reads, and what is none of ours is left alone."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.address import Family
from flanpy.probe.packet import PacketKind, Probe, checksum, least_size, read, request

SENDER = ip_address("192.0.2.1")
PROBE = Probe(boot=7, number=42, hears=True, interval=2.5)
ANSWER = {Family.IPV4: b"\x00", Family.IPV6: b"\x81"}


@pytest.mark.parametrize("family", Family)
def test_request_is_read_back_as_it_was_sent(family: Family) -> None:
    found = read(family, request(family, PROBE), SENDER, with_header=False)
    assert found is not None
    assert (found.kind, found.probe, found.sender) == (PacketKind.REQUEST, PROBE, SENDER)


@pytest.mark.parametrize("family", Family)
def test_answer_brings_the_probe_back(family: Family) -> None:
    found = read(family, ANSWER[family] + request(family, PROBE)[1:], SENDER, with_header=False)
    assert found is not None
    assert (found.kind, found.probe) == (PacketKind.ANSWER, PROBE)


def test_checksum_of_a_request_with_its_checksum_is_zero() -> None:
    assert checksum(request(Family.IPV4, PROBE, ident=1, size=99)) == 0


@pytest.mark.parametrize("family", Family)
def test_packet_has_the_size_asked_for(family: Family) -> None:
    header = 20 if family is Family.IPV4 else 40
    assert len(request(family, PROBE, size=1450)) + header == 1450
    assert len(request(family, PROBE)) + header == least_size(family)


def test_filter_that_refuses_is_told_from_a_host_that_is_not_there() -> None:
    quoted = bytes([0x45]) + bytes(19) + request(Family.IPV4, PROBE)
    for code, prohibited in ((13, True), (1, False)):
        found = read(Family.IPV4, bytes([3, code]) + bytes(6) + quoted, SENDER, with_header=False)
        assert found is not None
        assert (found.kind, found.prohibited, found.probe) == (PacketKind.REFUSAL, prohibited, PROBE)


@given(st.binary(max_size=120), st.sampled_from(Family), st.booleans())
def test_any_octets_are_read_or_left_alone(octets: bytes, family: Family, with_header: bool) -> None:
    found = read(family, octets, SENDER, with_header=with_header)
    assert found is None or b"FLPy" in octets
