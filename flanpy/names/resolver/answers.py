"""From the octets of a question to those of its answer, or the decision to ask elsewhere. No I/O.

Owns what is answered: A, AAAA and PTR of known names, no records for their other types, NXDOMAIN only below our own
zone, and REFUSED for what nobody may be asked. Docker goes on to its next server after REFUSED and SERVFAIL, and takes
NXDOMAIN as final (from 25 on), so a name that is not ours must never get it from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.PTR
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

from flanpy.errors import MALFORMED
from flanpy.model.address import IPAddress
from flanpy.names.table import Asker, NameTable, is_ours, reverse_address

TTL_S: Final = 5
"""Seconds for which an answer may be kept: so long a name may lead to a container that is gone."""

MOST_RECORDS: Final = 256
"""Addresses in one answer, those of this host first."""

USUAL_SIZE: Final = 512
"""Octets of an answer by UDP without EDNS (RFC 1035, 4.2.1)."""
LARGEST_UDP: Final = 1232
"""Octets of an answer by UDP at most, whatever the question allows: no fragments on a link of 1280 (RFC 9715)."""
LARGEST_TCP: Final = 65_535

_HEADER: Final = 12
_ADDRESSES: Final = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}


class Outcome(Enum):
    """The outcome of a question; the value is the metric's label."""

    OWN = "own"
    """answered from the table, also that there is no such name below our zone."""
    FORWARDED = "forwarded"
    """answered by one of the host's servers."""
    REFUSED = "refused"
    """not ours, and nobody may be asked for it."""
    FAILED = "failed"
    """no server of the host answered, or too many questions waited."""
    MALFORMED = "malformed"
    """no question that can be answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The octets to send back; `octets` empty for none."""

    octets: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is not ours, to be asked of the host's servers as it is."""

    octets: bytes


def answer(octets: bytes, table: NameTable, asker: Asker, *, by_tcp: bool = False) -> Reply | Question:
    """Answer one message. Never raises for what it holds."""
    if len(octets) < _HEADER or octets[2] & 0x80:
        return Reply(b"", Outcome.MALFORMED)  # no header, or an answer: to answer that one would make a loop
    try:
        query = dns.message.from_wire(octets, ignore_trailing=True)
    except (dns.exception.DNSException, *MALFORMED):
        return Reply(_bare(octets, dns.rcode.FORMERR), Outcome.MALFORMED)
    if query.opcode() != dns.opcode.QUERY:
        return Reply(_bare(octets, dns.rcode.NOTIMP), Outcome.MALFORMED)
    if len(query.question) != 1:
        return Reply(_bare(octets, dns.rcode.FORMERR), Outcome.MALFORMED)
    asked = query.question[0]
    if asked.rdclass != dns.rdataclass.IN:
        return _refused(octets)
    known = _known(asked.name, asked.rdtype, table, asker)
    if known is not None:
        return Reply(_rendered(query, known, by_tcp=by_tcp), Outcome.OWN)
    return Question(octets) if asker.outside else _refused(octets)


def failed(octets: bytes) -> Reply:
    """Return SERVFAIL for a question: Docker asks its next server then."""
    return Reply(_bare(octets, dns.rcode.SERVFAIL), Outcome.FAILED)


def refused(octets: bytes) -> Reply:
    """Return REFUSED for a message that holds a header, nothing otherwise."""
    if len(octets) < _HEADER or octets[2] & 0x80:
        return Reply(b"", Outcome.REFUSED)
    return _refused(octets)


def _refused(octets: bytes) -> Reply:
    return Reply(_bare(octets, dns.rcode.REFUSED), Outcome.REFUSED)


def _bare(octets: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Return the header alone as an answer: it is right for questions that cannot be read, too."""
    opcode_and_rd = octets[2] & 0x79
    return octets[:2] + bytes((0x80 | opcode_and_rd, int(rcode))) + bytes(8)


def _known(
    name: dns.name.Name, kind: dns.rdatatype.RdataType, table: NameTable, asker: Asker
) -> list[dns.rdata.Rdata] | None:
    """Return the records of our own answer, none for another type of a known name; None if it is not ours to say."""
    text = _text(name)
    if text is None:
        return None
    if (address := reverse_address(text)) is not None:
        whole = table.reverse(address, asker)
        if whole is None:
            return None
        return [_pointer(whole)] if kind == dns.rdatatype.PTR else []
    addresses = table.find(text, asker)
    if addresses is None:
        return _NO_SUCH_NAME if is_ours(text.rstrip(".").lower()) else None
    version = _ADDRESSES.get(kind)
    return [_address(one) for one in addresses if one.version == version][:MOST_RECORDS]


_NO_SUCH_NAME: Final[list[dns.rdata.Rdata]] = []
"""Told apart by identity from an answer without records."""


def _text(name: dns.name.Name) -> str | None:
    """Return the name as Docker writes it; None for octets that no container's name has, as dots within a label."""
    try:
        labels = [label.decode("ascii") for label in name.labels]
    except UnicodeDecodeError:
        return None
    if any("." in label or not label.isprintable() for label in labels):
        return None
    return ".".join(labels)


def _address(address: IPAddress) -> dns.rdata.Rdata:
    kind = dns.rdtypes.IN.A.A if address.version == 4 else dns.rdtypes.IN.AAAA.AAAA
    number = dns.rdatatype.A if address.version == 4 else dns.rdatatype.AAAA
    return kind(dns.rdataclass.IN, number, str(address))


def _pointer(whole: str) -> dns.rdata.Rdata:
    labels = [label.encode() for label in whole.split(".")]
    target = dns.name.Name([*labels, b""])
    made: dns.rdata.Rdata = dns.rdtypes.ANY.PTR.PTR(dns.rdataclass.IN, dns.rdatatype.PTR, target)  # type: ignore[no-untyped-call]
    return made


def _rendered(query: dns.message.Message, records: list[dns.rdata.Rdata], *, by_tcp: bool) -> bytes:
    reply = dns.message.make_response(query, recursion_available=True, our_payload=LARGEST_UDP)
    reply.flags |= dns.flags.AA
    if records is _NO_SUCH_NAME:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    asked = query.question[0]
    if records:
        found = dns.rrset.RRset(asked.name, dns.rdataclass.IN, asked.rdtype)
        for record in records:
            found.add(record, TTL_S)
        reply.answer.append(found)
    room = LARGEST_TCP if by_tcp else min(max(query.payload, USUAL_SIZE), LARGEST_UDP)
    try:
        return reply.to_wire(max_size=room)
    except dns.exception.TooBig:
        reply.answer.clear()
        reply.flags |= dns.flags.TC
        return reply.to_wire(max_size=room)
