"""The rtnetlink of tc(8), as far as filters need it: qdiscs and filters of links, listed, put and deleted.

One blocking socket in the network namespace of whoever opened it. Synchronous, because it answers within microseconds
and its callers have nothing to do meanwhile. Must not: know which filters are ours.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flanpy.errors import KernelError

INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
"""Parents of the filters of a clsact qdisc (linux/pkt_sched.h)."""

_CLSACT_PARENT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_GETLINK = 18
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _DELTFILTER, _GETTFILTER = 44, 45, 46
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _REPLACE, _EXCL, _CREATE = 0x001, 0x004, 0x300, 0x100, 0x200, 0x400
_DUMP_INTERRUPTED, _ACK_TEXTS = 0x10, 0x200
_HEADER = struct.Struct("=IHHII")
_TC = struct.Struct("=BxxxiIII")
_LINK = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_IFLA_IFNAME = 3
_KIND, _OPTIONS, _CHAIN, _INGRESS_BLOCK, _EGRESS_BLOCK = 1, 2, 11, 13, 14
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_ID = 6, 7, 8, 11
_DIRECT_ACTION = 1
_ETH_P_ALL = socket.htons(0x0003)
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_ANSWER_DEADLINE_S = 5.0
_RECEIVE_BYTES = 1 << 16
_DUMP_TRIES = 8


@dataclass(frozen=True, slots=True)
class Link:
    """A link by its index; `hardware` is its ARPHRD type."""

    index: int
    name: str
    hardware: int


@dataclass(frozen=True, slots=True)
class Qdisc:
    """What takes filters on a link; `shared`: its filters are those of other links too."""

    link: int
    kind: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter on a link; `program` is the id of its BPF program, 0 if it is none, and `name` what that was called."""

    link: int
    parent: int
    priority: int
    handle: int
    chain: int = 0
    kind: str = ""
    name: str = ""
    program: int = 0


class TrafficControl:
    """Opens its socket when made. Every call raises KernelError when the kernel refuses."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
        except OSError as error:
            raise KernelError("cannot open a netlink socket", errno=error.errno or 0) from error
        self._socket.settimeout(_ANSWER_DEADLINE_S)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """The link of this name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
        try:
            answer = self._only(body)
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        _, hardware, index, _, _ = _LINK.unpack_from(answer)
        return Link(index, name, hardware)

    def name_of(self, index: int) -> str:
        """The name of a link, "" if there is none with this index."""
        try:
            answer = self._only(_LINK.pack(0, 0, index, 0, 0))
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return ""
            raise
        return _text(_attributes(answer, _LINK.size).get(_IFLA_IFNAME, b""))

    def qdiscs(self) -> list[Qdisc]:
        """The qdiscs with filters for what links receive (`clsact`, `ingress`), of all links."""
        found = []
        for answer in self._dump(_GETQDISC, _TC.pack(0, 0, 0, 0, 0)):
            _, link, handle, parent, _ = _TC.unpack_from(answer)
            attributes = _attributes(answer, _TC.size)
            if (handle, parent) == (_CLSACT_HANDLE, _CLSACT_PARENT):
                shared = _INGRESS_BLOCK in attributes or _EGRESS_BLOCK in attributes
                found.append(Qdisc(link, _text(attributes.get(_KIND, b"")), shared))
        return found

    def filters(self, link: int, parent: int) -> list[Filter]:
        """All filters in one direction of a link, of whatever kind."""
        request = _TC.pack(0, link, 0, parent, 0)
        return [
            found for answer in self._dump(_GETTFILTER, request) if (found := _filter(answer)) is not None
        ]

    def add_clsact(self, link: Link) -> None:
        """Make the link take filters, if it does not yet."""
        body = _TC.pack(0, link.index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + _attribute(_KIND, b"clsact\0")
        try:
            self._change(_NEWQDISC, _CREATE | _EXCL, body, f"cannot add a clsact qdisc to {link.name}")
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise

    def delete_clsact(self, link: int) -> None:
        body = _TC.pack(0, link, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
        self._change(_DELQDISC, 0, body, f"cannot delete the clsact qdisc of link {link}")

    def put(self, wanted: Filter, descriptor: int) -> None:
        """Put a BPF filter in direct-action mode; one with its priority and handle is replaced, at no moment absent."""
        options = (
            _attribute(_BPF_FD, struct.pack("=I", descriptor))
            + _attribute(_BPF_NAME, wanted.name.encode() + b"\0")
            + _attribute(_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
        )
        body = _filter_head(wanted) + _attribute(_KIND, b"bpf\0") + _attribute(_OPTIONS, options)
        what = f"cannot attach the filter {wanted.name} to link {wanted.link}"
        self._change(_NEWTFILTER, _CREATE | _REPLACE, body, what)

    def delete(self, unwanted: Filter) -> None:
        """Delete a filter; one that is not there is none to delete."""
        body = _filter_head(unwanted) + _attribute(_KIND, unwanted.kind.encode() + b"\0")
        if unwanted.chain:
            body += _attribute(_CHAIN, struct.pack("=I", unwanted.chain))
        what = f"cannot delete the filter {unwanted.name} of link {unwanted.link}"
        try:
            self._change(_DELTFILTER, 0, body, what)
        except KernelError as error:
            if error.errno not in {
                errno.ENOENT,
                errno.ENODEV,
                errno.EINVAL,
            }:  # EINVAL: the qdisc has gone as well
                raise

    def _only(self, body: bytes) -> bytes:
        """The one answer to a question for a link."""
        return next(self._ask(_GETLINK, 0, body))

    def _change(self, kind: int, flags: int, body: bytes, what: str) -> None:
        try:
            list(self._ask(kind, flags | _ACK, body))
        except KernelError as error:
            raise KernelError(f"{what} ({error.args[0].split(':')[0]})", errno=error.errno) from error

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        for _ in range(_DUMP_TRIES):
            try:
                return list(self._ask(kind, _DUMP, body))
            except _Interrupted:
                continue
        raise KernelError(
            "a listing of filters was interrupted by changes again and again", errno=errno.EAGAIN
        )

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
        """The bodies of the answers, until the kernel says that this was all."""
        self._sequence += 1
        head = _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, self._sequence, 0)
        interrupted = False
        try:
            self._socket.send(head + body)
            while True:
                for got, got_flags, sequence, answer in _messages(self._socket.recv(_RECEIVE_BYTES)):
                    if sequence != self._sequence:
                        continue  # a late answer to a request that was given up
                    interrupted |= bool(got_flags & _DUMP_INTERRUPTED)
                    if got in {_ERROR, _DONE}:
                        _raise_if_refused(answer, got_flags)
                        if interrupted:
                            raise _Interrupted("interrupted")
                        return
                    yield answer
                    if not flags & (_DUMP | _ACK):
                        return
        except OSError as error:
            raise KernelError("no answer on the netlink socket", errno=error.errno or 0) from error


class _Interrupted(KernelError):
    """Something changed while it was listed."""


def _raise_if_refused(answer: bytes, flags: int) -> None:
    code = -struct.unpack_from("=i", answer)[0]
    if code <= 0:
        return
    text = _text(_attributes(answer, 4 + _HEADER.size).get(1, b"")) if flags & _ACK_TEXTS else ""
    raise KernelError(text or "the kernel refused", errno=code)


def _messages(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, body) of each message."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, datagram[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) & 3)


def _attributes(buffer: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + 4 <= len(buffer):
        length, kind = _ATTRIBUTE.unpack_from(buffer, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = buffer[at + 4 : at + length]
        at += length + 3 & ~3
    return found


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def _number(value: bytes) -> int:
    number: int = struct.unpack("=I", value)[0] if len(value) == 4 else 0
    return number


def _filter_head(one: Filter) -> bytes:
    return _TC.pack(0, one.link, one.handle, one.parent, one.priority << 16 | _ETH_P_ALL)


def _filter(answer: bytes) -> Filter | None:
    """A listed filter; a priority's own entry, which has no handle, is none."""
    _, link, handle, parent, priority = _TC.unpack_from(answer)
    attributes = _attributes(answer, _TC.size)
    if not handle:
        return None
    kind = _text(attributes.get(_KIND, b""))
    options = _attributes(attributes.get(_OPTIONS, b""), 0) if kind == "bpf" else {}
    return Filter(
        link, parent, priority >> 16, handle, _number(attributes.get(_CHAIN, b"")), kind,
        _text(options.get(_BPF_NAME, b"")), _number(options.get(_BPF_ID, b"")),
    )  # fmt: skip
