"""A kernel in memory, with the semantics that tests/contract/test_kernel.py shows the real one to have.

Beyond the port it offers what tests need: faults to come (`fail_next`, `break_socket`), changes from outside
(`put_from_outside`, `drop_from_outside`, ...), and counters that show whether anything was touched.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface

from flanpy.errors import KernelError
from flanpy.kernel.links import needs_new_device
from flanpy.kernel.port import OpFailure
from flanpy.model.address import IPInterface
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import (
    Address,
    Blackhole,
    BridgePort,
    FdbEntry,
    FloodEntry,
    HostSysctl,
    KernelObject,
    Key,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    Setting,
    VxlanLink,
)
from flanpy.model.ops import Delete, Objects, Op, Put, Scope
from flanpy.model.put_order import LINK_ALIAS
from flanpy.model.wireguard import WgDevice, WgPeer, WireguardLink

HOST_LINKS: Mapping[str, tuple[IPInterface, ...]] = {
    "eth0": (IPv4Interface("172.16.0.1/16"), IPv6Interface("fd16::1/64"))
}

_ON_LINK = (Address, BridgePort, LinkUp, Neighbour, FdbEntry, FloodEntry, Route)


class FakeKernel:
    """A `flanpy.kernel.port.Kernel`. `files.links` are links that are up and never read back, with their addresses."""

    def __init__(
        self,
        objects: Iterable[KernelObject] = (),
        *,
        host_links: Mapping[str, tuple[IPInterface, ...]] = HOST_LINKS,
    ) -> None:
        self.objects: dict[Key, KernelObject] = {obj.key: obj for obj in objects}
        self.host_links = dict(host_links)
        self.settings: dict[Key, Setting] = {}
        self.reads = 0
        self.writes = 0
        self.applied: list[Op] = []
        self._faults: list[int] = []
        self._broken = 0

    # faults and outsiders

    def fail_next(self, count: int = 1, *, error: int = errno.ENOMEM) -> None:
        """Refuse the next `count` operations."""
        self._faults += [error] * count

    def break_socket(self, times: int = 1) -> None:
        """Let the next `times` calls of the port raise."""
        self._broken += times

    def put_from_outside(self, obj: KernelObject) -> None:
        """Put an object as somebody else, over whatever is there."""
        if isinstance(obj, Setting):
            self.settings[obj.key] = obj
        else:
            self.objects[obj.key] = obj

    def drop_from_outside(self, obj: KernelObject) -> None:
        """Delete an object as somebody else, with what goes with it."""
        if obj.key in self.objects:
            self._delete(obj)

    def delete_host_link(self, name: str) -> None:
        """An underlay link goes, and with it the VXLAN devices and routes on it."""
        del self.host_links[name]
        for obj in list(self.objects.values()):
            if isinstance(obj, VxlanLink) and obj.parent == name:
                self._delete(obj)
        self._drop_routes(name)

    # the port

    async def read_back(self, scope: Scope) -> Objects:
        self._raise_if_broken()
        self.reads += 1
        links = {obj.name for obj in self._links() if obj.name in scope.links or obj.alias == LINK_ALIAS}
        found = {key: obj for key, obj in self.objects.items() if _is_read(obj, links)}
        for setting in scope.settings:
            present = self._present(setting)
            if present is not None:
                found[present.key] = present
        return found

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        self._raise_if_broken()
        failures = []
        for op in ops:
            self.writes += 1
            refused = self._faults.pop(0) if self._faults else self._apply(op)
            if refused:
                failures.append(OpFailure(op, KernelError(f"fake kernel: {op.obj.key}", errno=refused)))
            else:
                self.applied.append(op)
        return tuple(failures)

    def _raise_if_broken(self) -> None:
        if self._broken:
            self._broken -= 1
            raise KernelError("fake kernel: socket broken", errno=errno.ENOBUFS)

    # semantics: each returns an error number, 0 for success

    def _apply(self, op: Op) -> int:
        obj = op.obj
        if isinstance(obj, Setting):
            return self._set(obj) if isinstance(op, Put) else 0
        if isinstance(op, Delete):
            if obj.key in self.objects:
                self._delete(obj)
            return 0
        if isinstance(obj, VxlanLink):
            return self._put_link(obj, op.previous)
        if isinstance(obj, WireguardLink | WgDevice | WgPeer | Blackhole):
            self.objects[obj.key] = obj
            return 0
        if isinstance(obj, IpipLink):
            return self._put_ipip(obj, op.previous)
        if isinstance(obj, _ON_LINK):
            return self._put_on_link(obj, op.previous)
        return errno.EOPNOTSUPP

    def _put_link(self, link: VxlanLink, previous: KernelObject | None) -> int:
        standing = self.objects.get(link.key)
        if link.parent not in self.host_links:
            return errno.ENODEV
        if previous is None:
            same_vni = any(
                isinstance(other, VxlanLink) and (other.vni, other.port) == (link.vni, link.port)
                for other in self._links()
            )
            if standing is not None or same_vni:
                return errno.EEXIST
            self.settings.pop(("feature", link.name, "tx-checksum-ip-generic"), None)
        elif standing is None:
            return errno.ENODEV
        elif not isinstance(standing, VxlanLink) or needs_new_device(link, standing):
            return errno.EOPNOTSUPP
        self.objects[link.key] = link
        return 0

    def _put_ipip(self, link: IpipLink, previous: KernelObject | None) -> int:
        standing = self.objects.get(link.key)
        if previous is not None and standing is None:
            return errno.ENODEV
        ends = [o.local for o in self._links() if isinstance(o, IpipLink) and o.name != link.name]
        if (previous is None and standing is not None) or link.local in ends:
            return errno.EEXIST
        self.objects[link.key] = link
        return 0

    def _put_on_link(
        self,
        obj: Address | BridgePort | LinkUp | Neighbour | FdbEntry | FloodEntry | Route,
        previous: KernelObject | None,
    ) -> int:
        if obj.link not in self.host_links and ("link", obj.link) not in self.objects:
            return errno.ENODEV
        if isinstance(obj, BridgePort) and obj.bridge not in self.host_links:
            return errno.ENODEV
        if isinstance(obj, Route) and (refused := self._refuse_route(obj)):
            return refused
        if (
            previous is None
            and obj.key in self.objects
            and not isinstance(obj, LinkUp | BridgePort | FloodEntry)
        ):
            return errno.EEXIST
        self.objects[obj.key] = obj
        return 0

    def _refuse_route(self, route: Route) -> int:
        if not self._is_up(route.link):
            return errno.ENETDOWN
        if route.gateway is None or route.onlink:
            return 0
        on_link = any(route.gateway in interface.network for interface in self.host_links.get(route.link, ()))
        unreachable = errno.ENETUNREACH if route.gateway.version == 4 else errno.EHOSTUNREACH
        return 0 if on_link else unreachable

    def _delete(self, obj: KernelObject) -> None:
        del self.objects[obj.key]
        match obj:
            case VxlanLink(name=name) | IpipLink(name=name) | WireguardLink(name=name) | OtherLink(name=name):
                self._drop(self._on(name))
                for key in [k for k, other in self.settings.items() if getattr(other, "link", None) == name]:
                    del self.settings[key]
            case LinkUp(name):
                self._drop_routes(name)
                self._drop(obj for obj in self._on(name) if isinstance(obj, Neighbour))
                self._drop(obj for obj in self._on(name) if isinstance(obj, Address) and _version(obj) == 6)
            case Address(link) if _version(obj) == 4:
                if not any(isinstance(other, Address) and _version(other) == 4 for other in self._on(link)):
                    gone = (obj for obj in self._on(link) if isinstance(obj, Neighbour | Route))
                    self._drop(obj for obj in gone if _version(obj) == 4)
            case _:
                pass

    def _on(self, link: str) -> list[KernelObject]:
        return [obj for obj in self.objects.values() if getattr(obj, "link", None) == link]

    def _drop(self, gone: Iterable[KernelObject]) -> None:
        for obj in gone:
            del self.objects[obj.key]

    def _drop_routes(self, link: str) -> None:
        self._drop(obj for obj in self._on(link) if isinstance(obj, Route))

    def _set(self, setting: Setting) -> int:
        if not isinstance(setting, HostSysctl) and not self._exists(setting.link):
            return errno.ENOENT if isinstance(setting, LinkSysctl) else errno.ENODEV
        self.settings[setting.key] = setting
        return 0

    def _present(self, setting: Setting) -> Setting | None:
        if not isinstance(setting, HostSysctl) and not self._exists(setting.link):
            return None
        match setting:
            case LinkFeature(link, feature):
                default: Setting = LinkFeature(link, feature, enabled=True)
            case LinkSysctl(family, link, name):
                default = LinkSysctl(family, link, name, "1")
            case HostSysctl(name):
                default = HostSysctl(name, "0")
        return self.settings.get(setting.key, default)

    def _links(self) -> list[VxlanLink | IpipLink | WireguardLink | OtherLink]:
        kinds = VxlanLink | IpipLink | WireguardLink | OtherLink
        return [obj for obj in self.objects.values() if isinstance(obj, kinds)]

    def _exists(self, link: str) -> bool:
        return link in self.host_links or ("link", link) in self.objects

    def _is_up(self, link: str) -> bool:
        return link in self.host_links or ("up", link) in self.objects


def _version(obj: Address | Neighbour | Route) -> int:
    match obj:
        case Address(interface=interface):
            return interface.version
        case Neighbour(address=address):
            return address.version
        case Route(destination=destination):
            return destination.version


def _is_read(obj: KernelObject, links: set[str]) -> bool:
    match obj:
        case Route() | OtherRoute() | Blackhole():
            return True
        case VxlanLink() | IpipLink() | WireguardLink() | OtherLink():
            return obj.name in links
        case _:
            return getattr(obj, "link", None) in links
