"""Readers of the resolver as functions of octets: questions of containers, answers of servers, records of hosts."""

from __future__ import annotations

from collections.abc import Callable

from flanpy.errors import ConfigError
from flanpy.names.records import decode_names, encode_names
from flanpy.names.resolver.answers import LARGEST_TCP, LARGEST_UDP, Reply, answer
from flanpy.names.resolver.upstreams import is_answer, read_resolv_conf
from flanpy.names.table import NameTable
from tests.hostile.texts import assert_sayable
from tests.names.test_answers import query
from tests.names.test_table import SHOP, table


def dns_question(octets: bytes) -> None:
    """Check that a question has an answer of the same id, of a fitting size, or none."""
    for by_tcp, room in ((False, LARGEST_UDP), (True, LARGEST_TCP)):
        reply = answer(octets, table(), SHOP, by_tcp=by_tcp)
        if not isinstance(reply, Reply):
            assert reply.octets == octets
        elif reply.octets:
            assert reply.octets[:2] == octets[:2]
            assert reply.octets[2] & 0x80
            assert len(reply.octets) <= room


def dns_answer(octets: bytes) -> None:
    """Check that what a server says is an answer only with the id asked for."""
    sent = query("example.org", id=258)
    if is_answer(sent, octets):
        assert octets[:2] == sent[:2]
    read_resolv_conf(octets.decode(errors="replace"), ())


def names_record(octets: bytes) -> None:
    """Check that a record that is read is written as the same, and a table of it can be emptied again."""
    try:
        found = decode_names("shop", "n2", octets)
    except ConfigError as error:
        assert_sayable(str(error))
        return
    assert decode_names("shop", "n2", encode_names(found)) == found
    made = NameTable("n1")
    made.put(found)
    made.drop("shop", "n2")
    assert made.counts() == {}


NAMES_TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "dns_question": (
        dns_question,
        (
            query("web", use_edns=0),
            query("2.1.96.10.in-addr.arpa", "PTR"),
            query("web")[:12] + b"\xc0\x0c\0\1\0\1",
        ),
    ),
    "dns_answer": (dns_answer, (b"\1\2\x81\x80" + query("example.org")[4:],)),
    "names_record": (names_record, (b'{"Host":"h2","C":[["web",["10.96.2.2","fd96::2"],["svc"]]]}',)),
}
