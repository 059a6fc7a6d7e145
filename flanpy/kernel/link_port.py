"""Changes of links and their addresses, one request each.

Owns what may go wrong with a VXLAN device, in words. Must not: choose, or repair.
"""

from __future__ import annotations

import errno

from flanpy.errors import KernelError
from flanpy.kernel import dumps, entries, ipip, links, tun
from flanpy.kernel.recall import Recall
from flanpy.kernel.request import RequestSocket
from flanpy.model.address import Family
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import Address, Neighbour, OwnLink, TunLink, VxlanLink
from flanpy.model.wireguard import WireguardLink
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import KernelRefusal, packed


class LinkPort:
    """Every method raises KernelError with the kernel's errno when refused; ENODEV when the link is not there."""

    def __init__(self, requests: RequestSocket) -> None:
        self._requests = requests
        self._indices: dict[str, int] = {}

    async def index_of(self, name: str) -> int | None:
        """Return the link's present index; it may change when the link is recreated."""
        known = self._indices.get(name, 0)
        if known and self._requests.link_name(known) == packed(name):
            return known
        answer = await self._requests.ask(links.link_question(name))
        index = None if isinstance(answer, KernelRefusal) else links.seen_link(answer, 0, len(answer)).index
        self._indices[name] = index or 0
        return index

    async def create(self, link: VxlanLink) -> None:
        """Make a VXLAN device, down, and check that it is what was asked for."""
        parent = await self._existing(link.parent)
        refusals = await self._requests.change(links.creation(link, parent))
        if refusals[0] is not None:
            raise await self._why_not_created(link, refusals[0])
        _raise_refused(f"cannot mark {link.name}", refusals)
        await self._check(link)

    async def change(self, link: VxlanLink, previous: VxlanLink) -> None:
        """Change a VXLAN device in place; EOPNOTSUPP for what needs a new one."""
        if links.needs_new_device(link, previous):
            raise KernelError(
                f"cannot change VNI, port, GBP or family of {link.name} in place: delete it first",
                errno=errno.EOPNOTSUPP,
            )
        index = await self._existing(link.name)
        parent = await self._existing(link.parent)
        changes = links.change(link, previous, index, parent)
        if link.mac != previous.mac:
            # a link that changes its address forgets all its neighbours, the permanent too (neigh_changeaddr)
            changes += await self._restorations(link.name, index)
        _raise_refused(f"cannot change {link.name}", await self._requests.change(changes))
        await self._check(link)

    async def _restorations(self, name: str, index: int) -> list[bytearray]:
        """Messages that put the link's permanent neighbours back, as they stand now."""
        flags = numbers.REQUEST | numbers.CREATE | numbers.REPLACE
        return [
            entries.neighbour(rtnl.NEWNEIGH, flags, index, neighbour)
            for family in Family
            for _, neighbour in await self._requests.dump(
                entries.neighbour_dump(family, index), dumps.neighbours(name, Recall(), Recall())
            )
            if isinstance(neighbour, Neighbour)
        ]

    async def create_tun(self, link: TunLink) -> None:
        """Make a persistent TUN device, down, and check that it is what was asked for."""
        if await self.index_of(link.name) is not None:
            raise KernelError(f"cannot make {link.name}: there is one already", errno=errno.EEXIST)

        async def settle() -> None:
            await self.change_tun(link, None)

        # An ioctl says not whose doing its events are: they are told by falling between these two calls.
        self._requests.before_writing()
        try:
            await tun.create(link, settle)
        finally:
            self._requests.on_written(())
        await self._check(link)

    async def change_tun(self, link: TunLink, previous: TunLink | None) -> None:
        """Give a TUN device its MTU and alias."""
        index = await self._existing(link.name)
        changes = links.settled(link, previous, index)
        _raise_refused(f"cannot change {link.name}", await self._requests.change(changes))

    async def create_ipip(self, link: IpipLink) -> None:
        """Make an IPIP device, down, and check that it is what was asked for."""
        refusal, *rest = await self._requests.change(ipip.creation(link))
        if refusal is not None:
            raise await self._why_no_ipip(link, refusal)
        _raise_refused(f"cannot mark {link.name}", rest)
        await self._check(link)

    async def change_ipip(self, link: IpipLink, previous: IpipLink) -> None:
        """Change an IPIP device in place; its routes stay."""
        index = await self._existing(link.name)
        changes = [*ipip.change(link, previous, index), *links.settled(link, previous, index)]
        _raise_refused(f"cannot change {link.name}", await self._requests.change(changes))
        await self._check(link)

    async def _why_no_ipip(self, link: IpipLink, refusal: KernelRefusal) -> KernelError:
        """Say why there is no device. The kernel has one place for each pair of addresses, whatever the name."""
        said = f" ({refusal.text})" if refusal.text else ""
        if refusal.errno == errno.EOPNOTSUPP:
            said = ": the kernel has no ipip (modprobe ipip)"
        elif refusal.errno == errno.EEXIST:
            owner = next(
                (
                    seen.name
                    for seen in (await self._all_links()).values()
                    if ipip.is_same(seen.message, link)
                ),
                "",
            )
            said = f": {owner or 'another ipip device'} has local {link.local} and any remote (delete it)"
        return KernelError(f"cannot make {link.name}{said}", errno=refusal.errno)

    async def create_wireguard(self, link: WireguardLink) -> None:
        """Make a WireGuard device, down, and check that it is what was asked for."""
        refusal, *rest = await self._requests.change(links.wireguard_creation(link))
        if refusal is not None and refusal.errno == errno.EOPNOTSUPP:
            raise KernelError(
                f"cannot make {link.name}: the kernel has no WireGuard (modprobe wireguard)",
                errno=refusal.errno,
            )
        _raise_refused(f"cannot make {link.name}", [refusal, *rest])
        await self._check(link)

    async def change_wireguard(self, link: WireguardLink, previous: WireguardLink) -> None:
        """Give a WireGuard device its MTU and alias."""
        index = await self._existing(link.name)
        changes = links.settled(link, previous, index)
        _raise_refused(f"cannot change {link.name}", await self._requests.change(changes))

    async def delete(self, name: str) -> None:
        index = await self._existing(name)
        _raise_refused(f"cannot delete {name}", await self._requests.change([links.deletion(index)]))

    async def set_admin_state(self, name: str, *, up: bool) -> None:
        index = await self._existing(name)
        _raise_refused(
            f"cannot set {name} {'up' if up else 'down'}",
            await self._requests.change([links.admin_state(index, up=up)]),
        )

    async def set_bridge(self, name: str, bridge: str) -> None:
        """Put a link into a bridge, out of any other; with "" only out."""
        index = await self._existing(name)
        master = await self._existing(bridge) if bridge else 0
        what = f"cannot put {name} into {bridge}" if bridge else f"cannot take {name} out of its bridge"
        _raise_refused(what, await self._requests.change([links.enslaving(index, master)]))

    async def put_address(self, address: Address, *, replace: bool) -> None:
        flags = numbers.CREATE | (numbers.REPLACE if replace else numbers.EXCL)
        await self._change_address("put", rtnl.NEWADDR, flags, address)

    async def delete_address(self, address: Address) -> None:
        await self._change_address("delete", rtnl.DELADDR, 0, address)

    async def _change_address(self, verb: str, kind: int, flags: int, address: Address) -> None:
        index = await self._existing(address.link)
        _raise_refused(
            f"cannot {verb} {address.interface} on {address.link}",
            await self._requests.change([links.address_change(kind, flags, index, address)]),
        )

    async def _existing(self, name: str) -> int:
        index = await self.index_of(name)
        if index is None:
            raise KernelError(f"there is no link {name}", errno=errno.ENODEV)
        return index

    async def _check(self, link: OwnLink) -> None:
        by_index = await self._all_links()
        names = {index: seen.name for index, seen in by_index.items()}
        found = next((links.decode(s, names) for s in by_index.values() if s.name == link.name), None)
        if not isinstance(found, OwnLink) or type(found) is not type(link):
            raise KernelError(f"{link.name} vanished right after it was made", errno=errno.ENODEV)
        if wrong := ", ".join(links.differences(link, found)):
            raise KernelError(f"{link.name} is not what was asked for: {wrong}")

    async def _all_links(self) -> dict[int, links.SeenLink]:
        return {seen.index: seen for seen in await self._requests.dump(links.link_dump(), links.seen_link)}

    async def _why_not_created(self, link: VxlanLink, refusal: KernelRefusal) -> KernelError:
        if refusal.errno == errno.EOPNOTSUPP:
            return KernelError(
                f"cannot make {link.name}: the kernel has no VXLAN (modprobe vxlan)", errno=refusal.errno
            )
        if refusal.errno == errno.EEXIST and (owner := await self._vni_owner(link)) is not None:
            return KernelError(
                f"cannot make {link.name}: VNI {link.vni} on UDP port {link.port} is used by {owner} (delete it, "
                "or choose another VNI)",
                errno=refusal.errno,
            )
        said = f" ({refusal.text})" if refusal.text else ""
        return KernelError(f"cannot make {link.name}{said}", errno=refusal.errno)

    async def _vni_owner(self, link: VxlanLink) -> str | None:
        by_index = await self._all_links()
        names = {index: seen.name for index, seen in by_index.items()}
        others = (links.decode(seen, names) for seen in by_index.values() if seen.name != link.name)
        for other in others:
            if isinstance(other, VxlanLink) and (other.vni, other.port) == (link.vni, link.port):
                return other.name
        return None


def _raise_refused(what: str, refusals: list[KernelRefusal | None]) -> None:
    for refusal in refusals:
        if refusal is not None:
            said = f" ({refusal.text})" if refusal.text else ""
            raise KernelError(f"{what}{said}", errno=refusal.errno)
