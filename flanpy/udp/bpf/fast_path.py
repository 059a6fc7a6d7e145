"""The in-kernel plane as one thing: programs, maps and filters, put in place, watched and taken away.

Two filters: on what leaves the TUN device, and on what the underlay receives. With all they use they outlive this
process, because the kernel keeps what is attached; the next process finds them by name and replaces them, at no moment
leaving none. Foreign filters and qdiscs are never changed. Every call is a few short system calls, and may be made in
a thread. A packet these programs leave alone is the user-space plane's: this is that plane and a short cut.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from dataclasses import dataclass

from flanpy.errors import KernelError
from flanpy.model.objects import TunnelEnd
from flanpy.model.tunnel import Count, TunnelTable
from flanpy.udp.bpf import probe, syscall
from flanpy.udp.bpf.egress import egress
from flanpy.udp.bpf.filters import NAMES, FilterPlace, Filters
from flanpy.udp.bpf.ingress import ingress
from flanpy.udp.bpf.layout import ETHERNET, Wiring
from flanpy.udp.bpf.maps import CounterMap, PeerMap
from flanpy.udp.bpf.netlink import EGRESS, INGRESS, Link, TrafficControl

_WITH_ETHERNET_HEADER = frozenset({1, 772})  # ARPHRD_ETHER, ARPHRD_LOOPBACK
_WITHOUT_HEADER = frozenset({512, 519, 768, 769, 776, 778, 823, 0xFFFE, 0xFFFF})  # dev_is_mac_header_xmit()
_TUN = 0xFFFE


@dataclass(frozen=True, slots=True)
class _Attached:
    """The filters in the kernel, as far as this process knows: places with the ids of their programs."""

    end: TunnelEnd
    programs: tuple[tuple[FilterPlace, int], ...]
    peers: PeerMap
    counters: CounterMap

    def close(self) -> None:
        self.peers.close()
        self.counters.close()


class BpfFastPath:
    """Implements `udp.ports.FastPath`. `control` acts in the network namespace where it was made; by default, ours."""

    def __init__(self, control: TrafficControl | None = None) -> None:
        self._control = control
        self._attached: _Attached | None = None

    def unavailable(self) -> str:
        """Why it cannot run here, in one sentence; "" if it can. Attaches to a TUN device of its own, for a moment."""
        return probe.unavailable()

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        """Put filters with this table in place; any of ours there are replaced at once, those elsewhere deleted.

        Raises KernelError if a link is missing or not of a kind that can be used, or the kernel refuses a part. What
        was attached before may then be partly replaced: `standing` says False, and another `attach` makes it good.
        """
        overlay, underlay = self._link(end.link), self._link(end.underlay)
        if overlay.hardware != _TUN:
            raise KernelError(f"{overlay.name} is no TUN device", errno=errno.EINVAL)
        attached = self._load(end, overlay, underlay, table)
        self.close()
        self._attached = attached

    def set_table(self, table: TunnelTable) -> None:
        """Give the filters in place other rows; those that stay are there at every moment. Raises KernelError."""
        if self._attached is None:
            raise KernelError("the in-kernel data plane has no filters to give a table", errno=errno.ENOENT)
        self._attached.peers.replace(table.rows, quiet=table.quiet)

    def standing(self, end: TunnelEnd) -> bool:
        """Report whether the filters that this process attached for `end` are in place now. Raises KernelError."""
        known = self._attached
        if known is None or known.end != end:
            return False
        return all(self._filters.stands(place, program) for place, program in known.programs)

    def remains(self) -> str:
        """Return the name of a link with a filter of ours, from any process; "" if none has. Raises KernelError."""
        for found in self._filters.ours():
            if name := self._traffic_control.name_of(found.link):
                return name
        return ""

    def counters(self) -> dict[Count, int]:
        """Return the counters of the filters since they were attached; empty if they are not. Raises KernelError."""
        return self._attached.counters.read() if self._attached is not None else {}

    def detach(self) -> None:
        """Delete every filter of ours, from any process, and qdiscs that are then empty. Raises KernelError."""
        self._filters.remove()
        self.close()

    def close(self) -> None:
        """Let go of what is attached, which then carries on alone with the table it has."""
        if self._attached is not None:
            self._attached.close()
            self._attached = None

    @property
    def _traffic_control(self) -> TrafficControl:
        if self._control is None:
            self._control = TrafficControl()
        return self._control

    @property
    def _filters(self) -> Filters:
        return Filters(self._traffic_control)

    def _link(self, name: str) -> Link:
        link = self._traffic_control.link(name)
        if link is None:
            raise KernelError(f"there is no link {name}", errno=errno.ENODEV)
        return link

    def _load(self, end: TunnelEnd, overlay: Link, underlay: Link, table: TunnelTable) -> _Attached:
        """Load everything, fill the table, and only then attach."""
        with ExitStack() as on_failure, ExitStack() as always:
            peers, counters = PeerMap(), CounterMap()
            on_failure.callback(peers.close)
            on_failure.callback(counters.close)
            peers.replace(table.rows, quiet=table.quiet)
            wiring = wire(table, overlay, underlay, peers=peers.descriptor, counters=counters.descriptor)
            ids = []
            for place, code in (
                (FilterPlace(underlay, INGRESS), ingress(wiring)),
                (FilterPlace(overlay, EGRESS), egress(wiring)),
            ):
                program = syscall.load_program(NAMES[place.parent], code)
                always.callback(os.close, program)  # once attached, the filter keeps it
                ids.append((place, syscall.program_id(program), program))
            for place, _, program in ids:
                self._filters.put(place, program)
            self._filters.remove(but=frozenset((place.link.index, place.parent) for place, _, _ in ids))
            on_failure.pop_all()
        return _Attached(end, tuple((place, number) for place, number, _ in ids), peers, counters)


def wire(table: TunnelTable, overlay: Link, underlay: Link, *, peers: int, counters: int) -> Wiring:
    """Return the values built into the programs. Raises KernelError for an underlay with an unknown link layer."""
    if underlay.hardware not in _WITH_ETHERNET_HEADER | _WITHOUT_HEADER:
        raise KernelError(
            f"the link layer of {underlay.name} (ARPHRD type {underlay.hardware}) is not one"
            " that the in-kernel data plane knows: choose --udp-plane user",
            errno=errno.EOPNOTSUPP,
        )
    return Wiring(
        underlay=underlay.index,
        overlay=overlay.index,
        mac=ETHERNET if underlay.hardware in _WITH_ETHERNET_HEADER else 0,
        local=table.local,
        port=table.port,
        mtu=table.mtu,
        own=table.own,
        peers=peers,
        counters=counters,
    )
