"""Reads all that one trace needs: the daemon's documents, then the kernel. What cannot be read is named, never fatal.

Must not judge: `walk` does. Nothing is sent, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from flanpy.errors import MALFORMED, FlanpyError, HostError, KernelError
from flanpy.files import atomic
from flanpy.host.sysctl import SysctlFiles, sysctl_name
from flanpy.model.address import Family, IPAddress
from flanpy.trace import documents, iproute
from flanpy.trace.filter import TracedTable
from flanpy.trace.iptables_text import read_saved
from flanpy.trace.nft_json import read_ruleset
from flanpy.trace.programs import is_installed, output
from flanpy.trace.seen import Device, Direction, LeaseSeen, Overlay, Probed, RouteAnswer, Seen

T = TypeVar("T")

_SYSCTLS: Final = {
    4: (
        "net/ipv4/ip_forward",
        "net/ipv4/conf/{link}/forwarding",
        "net/ipv4/conf/all/rp_filter",
        "net/ipv4/conf/{link}/rp_filter",
    ),
    6: ("net/ipv6/conf/all/forwarding",),
}

_SAVERS: Final = {
    4: (("iptables-nft", "iptables-nft-save"), ("iptables-legacy", "iptables-legacy-save")),
    6: (("ip6tables-nft", "ip6tables-nft-save"), ("ip6tables-legacy", "ip6tables-legacy-save")),
}
_LARGEST_TABLE: Final = 1 << 24
_IN_USE: Final = {4: Path("/proc/net/ip_tables_names"), 6: Path("/proc/net/ip6_tables_names")}
"""Asking iptables-legacy loads its modules: it is asked only where they are."""


class Reading:
    """One trace's reading. `ask` gives a document of the daemon, `tunnel` is the file of the UDP tunnel's table."""

    def __init__(self, ask: Callable[[str], Any], tunnel: Path) -> None:
        self._ask = ask
        self._tunnel = tunnel
        self._unread: list[str] = []

    def look(self, destination: IPAddress, source: IPAddress | None) -> Seen:
        """Everything that a packet between the two would meet here."""
        overlay, peers = self._overlay(destination.version)
        devices = self._try(iproute.devices)
        addresses = self._try(iproute.addresses) or {}
        origin = _Origin(overlay, frozenset(addresses), destination, source)
        start = origin.source if origin.direction is not Direction.FROM_HOST else None
        back = self._try(lambda: iproute.way(start)) if start else None
        in_link = _in_link(origin, overlay, back)
        sysctls = _sysctls(destination.version, in_link)
        inner = self._inner(destination, origin.source, in_link, forwards="0" not in _forwarding(sysctls))
        peer = overlay.lease_of(
            origin.source if origin.direction is Direction.IN and origin.source else destination
        )
        tables, tables_read = self._tables(destination.version)
        outer = self._outer(peer)
        link = inner.link if inner else ""
        return Seen(
            destination=destination,
            source=origin.source or (inner.source if inner else None),
            direction=origin.direction,
            overlay=overlay,
            assumed=origin.assumed,
            in_link=in_link,
            peer=None if peer is overlay.own else peer,
            devices=devices,
            addresses=addresses,
            rules=self._try(lambda: iproute.rules(destination.version)) or {},
            back=back,
            inner=inner,
            outer=outer,
            neighbours=self._try(lambda: iproute.neighbours(link)) if link else {},
            outer_neighbours=self._try(lambda: iproute.neighbours(outer.link))
            if outer and outer.link
            else {},
            fdb=self._fdb(devices, link),
            tables=tables,
            tables_read=tables_read,
            sysctls=sysctls,
            probed=self._probed(peers, peer),
            unread=tuple(self._unread),
        )

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except FlanpyError as error:
            self._unread.append(" ".join(str(error).split()))
        except MALFORMED as error:  # a tool or a daemon of another version
            self._unread.append(f"an answer is not understood: {type(error).__name__}: {str(error)[:200]!r}")
        return None

    def _overlay(self, version: int) -> tuple[Overlay, Mapping[str, Any]]:
        status = self._try(lambda: self._ask("status"))
        if status is None:
            return Overlay(), {}
        subnets = self._try(lambda: self._ask("subnets")) or {}
        peers = self._try(lambda: self._ask("peers")) or {}
        found = self._try(lambda: documents.overlay(status, subnets, version)) or Overlay()
        if found.backend == "udp":
            found = _with_rows(found, self._try(self._tunnel_rows))
        return found, peers

    def _tunnel_rows(self) -> dict[str, str]:
        try:
            return {str(row[1]): str(row[2]) for row in json.loads(atomic.read(self._tunnel, _LARGEST_TABLE))}
        except (OSError, *MALFORMED) as error:
            raise HostError(f"the tunnel's table {self._tunnel}: {error}") from error

    def _inner(
        self, destination: IPAddress, source: IPAddress | None, in_link: str, *, forwards: bool
    ) -> RouteAnswer | None:
        """A host that does not forward has no routes for what comes in: then ask where it would go if it did."""
        come_in = in_link if forwards else ""
        return self._try(
            lambda: iproute.way(destination, source=source if come_in else None, in_link=come_in)
        )

    def _outer(self, peer: LeaseSeen | None) -> RouteAnswer | None:
        if peer is None or not peer.public_ip:
            return None
        address = _address(peer.public_ip)
        return self._try(lambda: iproute.way(address)) if address else None

    def _fdb(self, devices: Mapping[str, Device] | None, link: str) -> dict[str, tuple[str, ...]] | None:
        device = (devices or {}).get(link)
        return self._try(lambda: iproute.fdb(link)) if device is not None and device.kind == "vxlan" else {}

    def _tables(self, version: int) -> tuple[tuple[TracedTable, ...], bool]:
        """Return the readable tables, and whether they are all: if not, no rule can be called the one that decides.

        Without iptables-nft-save its tables are read as nftables; matches of iptables in them are not understood.
        """
        family = Family.IPV4 if version == 4 else Family.IPV6
        before = len(self._unread)
        tables: list[TracedTable] = []
        for tool, saver in _SAVERS[version]:
            wanted = _legacy_in_use(version) if tool.endswith("-legacy") else is_installed(saver)
            if wanted:
                tables += self._try(partial(_saved, tool, saver, family)) or ()
        without = [(family, table.name) for table in tables if table.tool.endswith("-nft")]
        if is_installed("nft") or not tables:
            tables += self._try(partial(_nft, without)) or ()
        return tuple(tables), len(self._unread) == before

    def _probed(self, peers: Mapping[str, Any], peer: LeaseSeen | None) -> Probed | None:
        return self._try(lambda: documents.probed(peers, peer)) if peer is not None else None


class _Origin:
    """The origin of the packet, given or assumed."""

    def __init__(
        self,
        overlay: Overlay,
        addresses: frozenset[IPAddress],
        destination: IPAddress,
        source: IPAddress | None,
    ) -> None:
        own = overlay.own
        arrives = own is not None and destination in own.subnet
        self.peer = (
            overlay.lease_of(source) if source else next(iter(overlay.leases), None) if arrives else None
        )
        self.assumed = ""
        self.source = source
        if arrives and (source is None or source not in own.subnet):  # type: ignore[union-attr]
            self.direction = Direction.IN
            if source is None and self.peer is not None:
                self.source = self.peer.subnet[2]
                self.assumed = f"a container of {self.peer.name}"
            return
        if source is not None:
            self.direction = Direction.FROM_HOST if source in addresses else Direction.OUT
            return
        self.direction = Direction.FROM_HOST
        if own is not None and any(
            address in own.subnet and address != own.subnet[0] for address in addresses
        ):
            self.direction = Direction.OUT
            self.source = own.subnet[2]
            self.assumed = "a container of this host"


def _in_link(origin: _Origin, overlay: Overlay, back: RouteAnswer | None) -> str:
    """The link by which the packet comes to be forwarded; "" if it starts at this host itself."""
    direct = origin.peer is not None and origin.peer.way == "direct"
    if origin.direction is Direction.IN and overlay.device is not None and not direct:
        return overlay.device.name
    return back.link if back is not None else ""


def _address(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _with_rows(overlay: Overlay, rows: Mapping[str, str] | None) -> Overlay:
    return replace(overlay, tunnel_rows=rows)


def _legacy_in_use(version: int) -> bool:
    try:
        return bool(_IN_USE[version].read_text().strip())
    except OSError:
        return False


def _saved(tool: str, saver: str, family: Family) -> tuple[TracedTable, ...]:
    return read_saved(output((saver, "-c")), tool, family)


def _nft(without: list[tuple[Family, str]]) -> tuple[TracedTable, ...]:
    try:
        return read_ruleset(output(("nft", "-j", "list", "ruleset")), without=without)
    except ValueError as error:
        raise HostError(f"nft -j list ruleset: {error}") from error


def _forwarding(sysctls: Mapping[str, str]) -> set[str]:
    return {value for name, value in sysctls.items() if "forward" in name}


def _sysctls(version: int, in_link: str) -> dict[str, str]:
    found = {}
    for pattern in _SYSCTLS[version]:
        name = pattern.format(link=in_link)
        try:
            found[sysctl_name(name)] = SysctlFiles().read(name)
        except KernelError:
            continue
    return found
