"""Answers to questions, octet by octet: what Docker needs to hear, and hostile questions."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.networks.names import NamedContainer, ToldNames
from flanpy.names.resolver.answers import LARGEST_UDP, MOST_RECORDS, TTL_S, Outcome, Question, Reply, answer
from flanpy.names.table import Asker, NameTable
from tests.names.test_table import SHOP, table

LOCKED = Asker(("shop",), outside=False)


def query(name: str, kind: str = "A", **more: Any) -> bytes:
    return dns.message.make_query(name, kind, **more).to_wire()


def answered(name: str, kind: str = "A", asker: Asker = SHOP, **more: Any) -> dns.message.Message:
    reply = answer(query(name, kind, **more), table(), asker)
    assert isinstance(reply, Reply)
    return dns.message.from_wire(reply.octets, raise_on_truncation=False)


def records(message: dns.message.Message) -> list[str]:
    return [str(record) for rrset in message.answer for record in rrset]


def test_known_name_has_its_addresses_of_the_type_asked_for() -> None:
    found = answered("Web.ShoP")
    assert records(found) == ["10.96.2.2"]
    assert found.answer[0].ttl == TTL_S
    assert str(found.answer[0].name) == "Web.ShoP.", "the case of the question is part of the answer"
    assert found.flags & dns.flags.AA
    assert found.flags & dns.flags.RA
    assert records(answered("web-1", "AAAA")) == ["fd96::2"]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "HTTPS", "ANY", "SOA"])
def test_known_name_has_no_records_of_other_types_and_yet_is_there(kind: str) -> None:
    found = answered("web", kind)
    assert found.rcode() == dns.rcode.NOERROR
    assert found.answer == []


def test_name_of_nobody_is_final_below_our_zone_only() -> None:
    assert answered("nobody.shop.flanpy.internal").rcode() == dns.rcode.NXDOMAIN
    assert answered("web.lab.flanpy.internal").rcode() == dns.rcode.NXDOMAIN
    for name in ("nobody", "nobody.shop", "example.org", "web.lab", ".", "5.113.0.203.in-addr.arpa"):
        asked = query(name)
        assert answer(asked, table(), SHOP) == Question(asked), name
        assert answered(name, asker=LOCKED).rcode() == dns.rcode.REFUSED, name


def test_address_has_its_name() -> None:
    assert records(answered("2.1.96.10.in-addr.arpa", "PTR")) == ["Web-1.shop.flanpy.internal."]
    assert records(answered(ip_address("fd96::2").reverse_pointer, "PTR")) == ["Web-1.shop.flanpy.internal."]
    assert answered("2.1.96.10.in-addr.arpa", "A").answer == []


def many() -> NameTable:
    made = NameTable("n1")
    boxes = tuple(
        NamedContainer(f"web{i}", (ip_address(f"10.96.{i // 250}.{i % 250 + 1}"),), ("svc",))
        for i in range(300)
    )
    made.put(ToldNames("shop", "n1", "h1", boxes))
    return made


@pytest.mark.parametrize(("payload", "room"), [(None, 512), (100, 512), (1000, 1000), (65535, LARGEST_UDP)])
def test_answer_that_has_no_room_by_udp_says_so_and_has_it_by_tcp(payload: int | None, room: int) -> None:
    asked = query("svc") if payload is None else query("svc", use_edns=0, payload=payload)
    short = answer(asked, many(), SHOP)
    assert isinstance(short, Reply)
    assert len(short.octets) <= room
    assert dns.message.from_wire(short.octets, raise_on_truncation=False).flags & dns.flags.TC
    whole = answer(asked, many(), SHOP, by_tcp=True)
    assert isinstance(whole, Reply)
    assert len(records(dns.message.from_wire(whole.octets))) == MOST_RECORDS


def test_edns_is_answered_by_edns_and_only_then() -> None:
    assert answered("web", use_edns=0).edns == 0
    assert answered("web").edns == -1


def test_answer_is_never_answered() -> None:
    octets = bytearray(query("web"))
    octets[2] |= 0x80
    assert answer(bytes(octets), table(), SHOP) == Reply(b"", Outcome.MALFORMED)


def test_questions_that_nobody_can_answer_are_told_so() -> None:
    update = dns.message.make_query("web", "A")
    update.set_opcode(dns.opcode.NOTIFY)
    two = dns.message.make_query("web", "A")
    two.question.append(two.question[0])
    none = dns.message.Message(id=7)
    label = bytearray(query("a" * 63))
    label[12] = 64
    loop = query("web")[:12] + b"\xc0\x0c" + b"\0\1\0\1"
    chaos = dns.message.make_query("version.bind", "TXT", rdclass=dns.rdataclass.CH)
    for octets, code in (
        (update.to_wire(), dns.rcode.NOTIMP),
        (two.to_wire(), dns.rcode.FORMERR),
        (none.to_wire(), dns.rcode.FORMERR),
        (bytes(label), dns.rcode.FORMERR),
        (loop, dns.rcode.FORMERR),
        (query("web")[:-3], dns.rcode.FORMERR),
        (chaos.to_wire(), dns.rcode.REFUSED),
    ):
        reply = answer(octets, table(), SHOP)
        assert isinstance(reply, Reply)
        found = dns.message.from_wire(reply.octets)
        assert (found.id, found.rcode()) == (int.from_bytes(octets[:2], "big"), code), octets
        assert found.flags & dns.flags.QR


def test_label_with_a_dot_inside_is_no_name_of_a_container() -> None:
    octets = bytes(12)[:2] + b"\1\0\0\1\0\0\0\0\0\0" + b"\x08web.shop\0" + b"\0\1\0\1"
    assert answer(octets, table(), SHOP) == Question(octets)


@given(st.binary(max_size=600))
def test_any_octets_have_a_short_answer_or_none(octets: bytes) -> None:
    reply = answer(octets, table(), SHOP)
    if isinstance(reply, Reply) and reply.octets:
        assert reply.octets[:2] == octets[:2]
        assert reply.octets[2] & 0x80
        assert len(reply.octets) <= LARGEST_UDP
