"""The rtnetlink of tc(8), as far as filters need it: qdiscs and filters of links, listed, put and deleted.

One blocking socket in the network namespace of the process that opened it. Synchronous, because it answers within
microseconds and its callers have nothing to do meanwhile. Must not: know which filters are ours.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from flanpy.errors import KernelError
from flanpy.netlink.blocking import BlockingSocket, Request
from flanpy.netlink.framing import attribute, attributes, number, packed, text
from flanpy.netlink.numbers import CREATE, EXCL, REPLACE

INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
"""Parents of the filters of a clsact qdisc (linux/pkt_sched.h)."""

_CLSACT_PARENT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_GETLINK = 18
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _DELTFILTER, _GETTFILTER = 44, 45, 46
_TC = struct.Struct("=BxxxiIII")
_LINK = struct.Struct("=BxHiII")
_IFLA_IFNAME = 3
_KIND, _OPTIONS, _CHAIN, _INGRESS_BLOCK, _EGRESS_BLOCK = 1, 2, 11, 13, 14
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_ID = 6, 7, 8, 11
_DIRECT_ACTION = 1
_ETH_P_ALL = socket.htons(0x0003)


@dataclass(frozen=True, slots=True)
class Link:
    """A link by its index; `hardware` is its ARPHRD type."""

    index: int
    name: str
    hardware: int


@dataclass(frozen=True, slots=True)
class Qdisc:
    """The qdisc that takes filters on a link; `shared`: its filters are those of other links too."""

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
        self._netlink = BlockingSocket(socket.NETLINK_ROUTE)
        self._netlink.open()

    def close(self) -> None:
        self._netlink.close()

    def link(self, name: str) -> Link | None:
        """The link of this name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, packed(name) + b"\0")
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
        return text(attributes(answer, _LINK.size, len(answer)).get(_IFLA_IFNAME, b""))

    def qdiscs(self) -> list[Qdisc]:
        """The qdiscs with filters for what links receive (`clsact`, `ingress`), of all links."""
        found = []
        for answer in self._netlink.dump(_GETQDISC, _TC.pack(0, 0, 0, 0, 0)):
            _, link, handle, parent, _ = _TC.unpack_from(answer.body)
            found_here = attributes(answer.body, _TC.size, len(answer.body))
            if (handle, parent) == (_CLSACT_HANDLE, _CLSACT_PARENT):
                shared = _INGRESS_BLOCK in found_here or _EGRESS_BLOCK in found_here
                found.append(Qdisc(link, text(found_here.get(_KIND, b"")), shared))
        return found

    def filters(self, link: int, parent: int) -> list[Filter]:
        """All filters in one direction of a link, of whatever kind."""
        request = _TC.pack(0, link, 0, parent, 0)
        return [
            found
            for answer in self._netlink.dump(_GETTFILTER, request)
            if (found := _filter(answer.body)) is not None
        ]

    def add_clsact(self, link: Link) -> None:
        """Make the link take filters, if it does not yet."""
        body = _TC.pack(0, link.index, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_KIND, b"clsact\0")
        try:
            self._change(_NEWQDISC, CREATE | EXCL, body, f"cannot add a clsact qdisc to {link.name}")
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise

    def delete_clsact(self, link: int) -> None:
        body = _TC.pack(0, link, _CLSACT_HANDLE, _CLSACT_PARENT, 0)
        self._change(_DELQDISC, 0, body, f"cannot delete the clsact qdisc of link {link}")

    def put(self, wanted: Filter, descriptor: int) -> None:
        """Put a BPF filter in direct-action mode; one with its priority and handle is replaced, at no moment absent."""
        options = (
            attribute(_BPF_FD, struct.pack("=I", descriptor))
            + attribute(_BPF_NAME, wanted.name.encode() + b"\0")
            + attribute(_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
        )
        body = _filter_head(wanted) + attribute(_KIND, b"bpf\0") + attribute(_OPTIONS, options)
        what = f"cannot attach the filter {wanted.name} to link {wanted.link}"
        self._change(_NEWTFILTER, CREATE | REPLACE, body, what)

    def delete(self, unwanted: Filter) -> None:
        """Delete a filter; one that is not there is none to delete."""
        body = _filter_head(unwanted) + attribute(_KIND, unwanted.kind.encode() + b"\0")
        if unwanted.chain:
            body += attribute(_CHAIN, struct.pack("=I", unwanted.chain))
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
        answer = self._netlink.ask(Request(_GETLINK, 0, body))
        if answer is None:
            raise KernelError("the kernel did not name the link", errno=errno.ENODEV)
        return answer.body

    def _change(self, kind: int, flags: int, body: bytes, what: str) -> None:
        try:
            self._netlink.change(Request(kind, flags, body))
        except KernelError as error:
            raise KernelError(f"{what} ({error.args[0].split(':')[0]})", errno=error.errno) from error


def _filter_head(one: Filter) -> bytes:
    return _TC.pack(0, one.link, one.handle, one.parent, one.priority << 16 | _ETH_P_ALL)


def _filter(answer: bytes) -> Filter | None:
    """A listed filter; a priority's own entry, which has no handle, is none."""
    _, link, handle, parent, priority = _TC.unpack_from(answer)
    if not handle:
        return None
    found = attributes(answer, _TC.size, len(answer))
    kind = text(found.get(_KIND, b""))
    given = found.get(_OPTIONS, b"")
    options = attributes(given, 0, len(given)) if kind == "bpf" else {}
    return Filter(
        link, parent, priority >> 16, handle, number(found.get(_CHAIN, b"")), kind,
        text(options.get(_BPF_NAME, b"")), number(options.get(_BPF_ID, b"")),
    )  # fmt: skip
