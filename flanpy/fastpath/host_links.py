"""The links that the fast path is about, read from rtnetlink: veths of containers behind our subnet's bridge.

Owns the reading. Must not change a link.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flanpy.model.fast_path import FastTunnel
from flanpy.netlink.blocking import BlockingSocket
from flanpy.netlink.framing import attributes, number, text
from flanpy.udp.bpf.netlink import Link

_GETLINK, _GETADDR = 18, 22
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBi")
_NAME, _MTU, _MASTER, _INFO, _NETNS, _KIND, _LOCAL = 3, 4, 10, 18, 37, 1, 2
_UP: Final = 1


@dataclass(frozen=True, slots=True)
class HostLink:
    """A link; `master` is the index of the bridge that it is a port of, 0 if it is none.

    `leads_out`: its other end is in another network namespace, as that of a container's veth.
    """

    link: Link
    kind: str
    mtu: int
    master: int
    up: bool
    leads_out: bool = False


@dataclass(frozen=True, slots=True)
class TunnelLinks:
    """The links of a tunnel. `mtu_out` is the largest packet that may be sent, `mtu_in` the largest to be delivered."""

    underlay: Link
    overlay: Link
    bridges: tuple[Link, ...]
    veths: tuple[Link, ...]
    mtu_out: int
    mtu_in: int


def read_links(netlink: BlockingSocket) -> list[HostLink]:
    """List all links. Raises KernelError."""
    found = []
    for answer in netlink.dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
        body = answer.body
        _, hardware, index, flags, _ = _LINK.unpack_from(body)
        given = attributes(body, _LINK.size, len(body))
        info = given.get(_INFO, b"")
        kind = text(attributes(info, 0, len(info)).get(_KIND, b""))
        link = Link(index, text(given.get(_NAME, b"")), hardware)
        mtu, master = number(given.get(_MTU, b"")), number(given.get(_MASTER, b""))
        found.append(HostLink(link, kind, mtu, master, bool(flags & _UP), _NETNS in given))
    return found


def read_homes(netlink: BlockingSocket, tunnel: FastTunnel) -> set[int]:
    """Return the indices of links that have an address of our subnet. Raises KernelError."""
    homes = set()
    for answer in netlink.dump(_GETADDR, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
        *_, index = _ADDRESS.unpack_from(answer.body)
        packed = attributes(answer.body, _ADDRESS.size, len(answer.body)).get(_LOCAL, b"")
        if len(packed) == 4 and IPv4Address(packed) in tunnel.own:
            homes.add(index)
    return homes


def tunnel_links(
    links: list[HostLink], homes: set[int], tunnel: FastTunnel, *, headers: int
) -> TunnelLinks | None:
    """Return the links of the tunnel, None while one is missing or down."""
    named = {one.link.name: one for one in links}
    underlay, overlay = named.get(tunnel.underlay), named.get(tunnel.overlay)
    if underlay is None or overlay is None or not (underlay.up and overlay.up):
        return None
    bridges = [one for one in links if one.kind == "bridge" and one.link.index in homes and one.up]
    masters = {one.link.index for one in bridges}
    veths = [one for one in links if one.kind == "veth" and one.leads_out and one.master in masters]
    return TunnelLinks(
        underlay.link,
        overlay.link,
        tuple(one.link for one in bridges),
        tuple(one.link for one in veths),
        mtu_out=min(overlay.mtu, underlay.mtu - headers),
        mtu_in=min((one.mtu for one in (*bridges, *veths)), default=0),
    )
