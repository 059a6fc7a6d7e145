"""The fast path of this host as one thing: programs on a tunnel's links, and a word that is given, kept or withheld.

Every call is a few short system calls. What is attached outlives this process for a moment only: no word holds for
longer than `WORD_NS`, and without one every packet goes the normal way.
"""

from __future__ import annotations

import errno
import socket
import time
from ipaddress import IPv4Address
from typing import Final

from flanpy.errors import KernelError
from flanpy.fastpath import programs
from flanpy.fastpath.host_links import TunnelLinks, read_homes, read_links, tunnel_links
from flanpy.fastpath.layout import OUTER, Paths
from flanpy.fastpath.maps import FlowMaps, Word
from flanpy.fastpath.programs import Programs
from flanpy.model.fast_path import FastCounts, FastTunnel
from flanpy.netlink.blocking import BlockingSocket
from flanpy.udp.bpf.netlink import TrafficControl

WORD_NS: Final = 2_000_000_000
_ETHERNET: Final = 1


class Carrier:
    """Opens its sockets when made, in the network namespace of the caller."""

    def __init__(self, control: TrafficControl | None = None, netlink: BlockingSocket | None = None) -> None:
        self.control = control or TrafficControl()
        self._netlink = netlink or BlockingSocket(socket.NETLINK_ROUTE)
        self._maps: FlowMaps | None = None
        self._programs: Programs | None = None
        self._made_for: object = None
        self._generation = time.monotonic_ns()

    def look(self, tunnel: FastTunnel) -> TunnelLinks | None:
        """Return the links of the tunnel as they are now. Raises KernelError."""
        return tunnel_links(
            read_links(self._netlink), read_homes(self._netlink, tunnel), tunnel, headers=OUTER
        )

    def hold(self, tunnel: FastTunnel, links: TunnelLinks) -> None:
        """Have the programs on these links and on no others. Raises KernelError if the kernel refuses."""
        if links.underlay.hardware != _ETHERNET:
            raise KernelError(f"{links.underlay.name} is no Ethernet link", errno=errno.EOPNOTSUPP)
        made_for = (tunnel, links.underlay.index, links.overlay.index)
        if made_for != self._made_for:
            self._load(tunnel, links)
            self._made_for = made_for
        assert self._programs is not None
        self._programs.attach(links.underlay, links.veths)

    def _load(self, tunnel: FastTunnel, links: TunnelLinks) -> None:
        self._let_go()
        self._maps = maps = FlowMaps()
        paths = Paths(
            underlay=links.underlay.index, local=tunnel.local, port=tunnel.port, vni=tunnel.vni,
            network=tunnel.network, own=tunnel.own, config=maps.config, out=maps.out, into=maps.into, met=maps.met,
            peers=maps.peers,
        )  # fmt: skip
        self._programs = Programs(self.control, paths)

    def vouch(self, links: TunnelLinks, *, emptied: bool) -> None:
        """Give the word for a while; `emptied`: with an empty cache. Raises KernelError."""
        self._generation += emptied
        if self._maps is not None:
            until = time.monotonic_ns() + WORD_NS
            self._maps.vouch(Word(self._generation, until, links.mtu_out, links.mtu_in))

    def withhold(self) -> None:
        """Have every packet go the normal way from now on. Raises KernelError."""
        if self._maps is not None:
            self._maps.vouch(Word())

    def counts(self) -> dict[IPv4Address, FastCounts]:
        """Return what each peer's packets were counted as. Raises KernelError."""
        return self._maps.counts() if self._maps is not None else {}

    def detach(self) -> None:
        """Delete the programs, from whichever process. Raises KernelError."""
        programs.remove(self.control)
        self._let_go()

    def close(self) -> None:
        self._let_go()
        self.control.close()
        self._netlink.close()

    def _let_go(self) -> None:
        for part in (self._programs, self._maps):
            if part is not None:
                part.close()
        self._programs = self._maps = self._made_for = None
