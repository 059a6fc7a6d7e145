"""Announces the addresses of containers that come to a named network here: a gratuitous ARP or neighbour advertisement.

Docker up to 27 gives a container a MAC made of its address and announces nothing. An address that comes back on another
host would stay where the others learned it, for 300 s. Owns the look at the far end of a container's link, which the
kernel gives without anything of Docker's, and the frames. In: the links of this host. Must not: change a link.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOENT
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import MALFORMED, KernelError
from flanpy.kernel.links import SeenAddress, seen_address
from flanpy.kernel.request import RequestSocket, SocketFactory, open_netlink
from flanpy.kernel.underlay import HostLink
from flanpy.log import get_logger
from flanpy.model.address import Family, IPAddress, Mac
from flanpy.model.bridge import is_named_bridge, is_named_port
from flanpy.model.networks.announcement import Segment, announcement, encapsulated
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import HEADER_SIZE, U32, KernelRefusal, attribute, attributes, frame

log = get_logger()

LOOK_S: Final = (0.0, *(0.05,) * 20, *(0.5,) * 8)
"""Seconds before each look at a new link: Docker gives it its address some 10 to 300 ms after it is in the bridge."""

AGAIN_S: Final = 1.0
"""Seconds until each announcement is sent once more: a datagram may be lost (RFC 5227, ANNOUNCE_INTERVAL is 2)."""

_IFINFO_AT: Final = HEADER_SIZE + 16
_FLAGS_AT: Final = HEADER_SIZE + 8
_LOWER_UP: Final = 0x10000
_LINK, _NAMESPACE, _TARGET = (
    rtnl.IFLA[name] for name in ("IFLA_LINK", "IFLA_LINK_NETNSID", "IFLA_IF_NETNSID")
)
_MAC: Final = rtnl.IFLA["IFLA_ADDRESS"]
_ADDRESS_TARGET: Final = rtnl.IFA["IFA_TARGET_NETNSID"]
_NDMSG: Final = struct.Struct("=BBHiHBB")
_NTF_MASTER: Final = 0x04
_LLADDR: Final = rtnl.NDA["NDA_LLADDR"]


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A container's link in the bridge of a named network, by index, and our device there, by name and index."""

    link: int
    device: str
    device_link: int


@dataclass(frozen=True, slots=True)
class Held:
    """The MAC at the far end of a container's link, and the addresses there."""

    mac: Mac
    addresses: tuple[IPAddress, ...]


def container_ports(links: Iterable[HostLink]) -> Iterator[ContainerPort]:
    """Yield the links of containers in bridges of named networks that our device is in, too."""
    known = tuple(links)
    bridges = {link.index for link in known if is_named_bridge(link.name)}
    devices = {
        link.master: link for link in known if link.master in bridges and is_named_port(link.name) and link.up
    }
    for link in known:
        device = devices.get(link.master)
        if device is not None and link.index != device.index:
            yield ContainerPort(link.index, device.name, device.index)


class Announcer:
    """Follows the links that it is told of. `run` is a root task; `links_changed` returns at once.

    `way` says how the other members are reached from one of our devices; `counted` gets the number of containers by
    device, whenever it changes.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        way: Callable[[str], Segment | None],
        counted: Callable[[Mapping[str, int]], None] = lambda _: None,
        open_socket: SocketFactory = open_netlink,
    ) -> None:
        self._clock = clock
        self._counted = counted
        self._way = way
        self._requests = RequestSocket(open_socket())
        self._known: frozenset[ContainerPort] = frozenset()
        self._new: asyncio.Queue[ContainerPort] = asyncio.Queue()

    def links_changed(self, links: Iterable[HostLink]) -> None:
        """Take the links of this host as they are now."""
        now = frozenset(container_ports(links))
        for port in sorted(now - self._known, key=lambda one: one.link):
            self._new.put_nowait(port)
        if now != self._known:
            self._known = now
            self._counted(Counter(port.device for port in now))

    async def run(self) -> None:
        """Announce each new port, without end; several at a time."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    port = await self._new.get()
                    group.create_task(self._announce(port))
        finally:
            self._requests.close()

    async def _announce(self, port: ContainerPort) -> None:
        try:
            held = await self._held(port)
            if held is None:
                return
            await self._forget(port, held.mac)
            self._send(port, held)
            log.debug("address_announced", link=port.device, address=", ".join(map(str, held.addresses)))
            await self._clock.sleep(AGAIN_S)
            self._send(port, held)
        except (
            KernelError,
            OSError,
            *MALFORMED,
        ) as error:  # it is one container's, and others will ask for its address
            log.warning("address_unannounced", link=port.device, error=error)

    async def _held(self, port: ContainerPort) -> Held | None:
        """Return what is at the far end of the link once there is an address; None if none comes."""
        for pause in LOOK_S:
            await self._clock.sleep(pause)
            if port not in self._known:
                return None
            held = await far_end(self._requests, port.link)
            if held is not None and held.addresses:
                return held
        return None

    async def _forget(self, port: ContainerPort, mac: Mac) -> None:
        """Take the MAC from where it was before: it is behind a link of this host now."""
        for flags in (_NTF_MASTER, rtnl.NTF_SELF):
            body = _NDMSG.pack(rtnl.AF_BRIDGE, 0, 0, port.device_link, 0, flags, 0)
            message = frame(rtnl.DELNEIGH, numbers.REQUEST, body + attribute(_LLADDR, mac.packed))
            for refusal in await self._requests.change([message]):
                if refusal is not None and refusal.errno != ENOENT:
                    log.debug("address_unforgotten", link=port.device, error=refusal.errno)

    def _send(self, port: ContainerPort, held: Held) -> None:
        """Send the frames to the other members as their devices expect them: no packet socket is needed for it."""
        way = self._way(port.device)
        if way is None or port not in self._known:
            return
        family = socket.AF_INET if way.local.version == 4 else socket.AF_INET6
        told = [encapsulated(way.vni, announcement(held.mac, address)) for address in held.addresses]
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.bind((str(way.local), 0))
            for member in way.members:
                for each in told:
                    with suppress(OSError):  # a full queue, a member out of reach: it is sent once more
                        sock.sendto(each, (str(member), way.port))


async def far_end(requests: RequestSocket, link: int) -> Held | None:
    """Return MAC and addresses at the far end of a link into another namespace, None before both are there."""
    near = await requests.ask(frame(rtnl.GETLINK, numbers.REQUEST, _ifinfo(link)))
    if isinstance(near, KernelRefusal):
        return None
    found = attributes(near, _IFINFO_AT, len(near))
    carrier = U32.unpack_from(near, _FLAGS_AT)[0] & _LOWER_UP
    if not carrier or _LINK not in found or _NAMESPACE not in found:
        return None
    index, target = U32.unpack(found[_LINK])[0], found[_NAMESPACE]
    body = _ifinfo(index) + attribute(_TARGET, target)
    far = await requests.ask(frame(rtnl.GETLINK, numbers.REQUEST, body))
    if isinstance(far, KernelRefusal):
        return None
    mac = attributes(far, _IFINFO_AT, len(far)).get(_MAC, b"")
    if len(mac) != 6:
        return None
    return Held(Mac(mac), await _addresses(requests, index, target))


async def _addresses(requests: RequestSocket, index: int, target: bytes) -> tuple[IPAddress, ...]:
    seen: list[SeenAddress] = []
    for family in Family:
        body = bytes([family, 0, 0, 0]) + U32.pack(index) + attribute(_ADDRESS_TARGET, target)
        seen += await requests.dump(frame(rtnl.GETADDR, numbers.REQUEST | numbers.DUMP, body), seen_address)
    return tuple(one.interface.ip for one in seen if one.index == index and not one.is_link_local)


def _ifinfo(index: int) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, 0, 0)
