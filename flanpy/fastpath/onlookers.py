"""Finds who wants to see the packets that the fast path would carry past them: packet sockets, and foreign filters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flanpy.fastpath.host_links import TunnelLinks
from flanpy.fastpath.programs import NAMES
from flanpy.udp.bpf.netlink import EGRESS, INGRESS, TrafficControl

_SOCKETS: Final = Path("/proc/self/net/packet")
_PLAIN: Final = frozenset(
    {"clsact", "ingress", "noqueue", "noop", "mq", "pfifo_fast", "pfifo", "bfifo", "fq", "fq_codel"}
)
"""Qdiscs that only order packets."""

_ALL, _IPV4 = 0x0003, 0x0800


def sockets_on(links: TunnelLinks, listed: Iterable[str] | None = None) -> str:
    """Return the name of a link that a packet socket listens on, as tcpdump's does; "" if there is none.

    A socket on the underlay sees every packet, and one in a container's namespace too.
    """
    if listed is None:
        try:
            listed = _SOCKETS.read_text().splitlines()[1:]
        except OSError:
            return ""  # a kernel without packet sockets
    names = {one.index: one.name for one in (links.overlay, *links.bridges, *links.veths)}
    names[0] = "every link"
    for line in listed:
        words = line.split()
        if int(words[3], 16) in {_ALL, _IPV4} and (name := names.get(int(words[4]))):
            return name
    return ""


def queue_on(control: TrafficControl, links: TunnelLinks) -> str:
    """Return the link with a queue that may hold packets back, and the queue's kind; "" if none has one.

    Queues of the underlay are passed in any case. Raises KernelError.
    """
    names = {one.index: one.name for one in (links.overlay, *links.bridges, *links.veths)}
    for index, kind in control.queues():
        if (name := names.get(index)) and kind not in _PLAIN:
            return f"{name} ({kind})"
    return ""


def filters_on(control: TrafficControl, links: TunnelLinks) -> str:
    """Return the name of a link that has a traffic filter which is not ours; "" if none has. Raises KernelError."""
    filtered = {qdisc.link for qdisc in control.qdiscs()}
    ours = set(NAMES.values())
    for link in (links.overlay, *links.bridges, *links.veths):
        if link.index not in filtered:
            continue
        there = [one for parent in (EGRESS, INGRESS) for one in control.filters(link.index, parent)]
        if any(one.name not in ours for one in there):
            return link.name
    return ""
