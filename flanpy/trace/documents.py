"""The daemon's documents as a trace uses them. A document may be of another version: what is missing is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from flanpy.model.address import IPNetwork
from flanpy.trace.seen import Device, LeaseSeen, Overlay, Probed

Document = Mapping[str, Any]


def overlay(status: Document, subnets: Document, version: int) -> Overlay:
    """One family (4 or 6) of it."""
    network = status.get("network") or {}
    rows = [_lease(row, subnet, version) for row, subnet in _rows(subnets, version)]
    own = next((lease for lease in rows if lease.state == "own"), None)
    backend = status.get("backend") or {}
    rows_of = [row for row in status.get("conditions") or () if row.get("reason") == "TooNarrow"]
    narrow = rows_of[0] if rows_of and version == 6 else {}
    return Overlay(
        narrow=str(narrow.get("message") or ""),
        narrow_cure=str(narrow.get("cure") or ""),
        backend=str(network.get("backend_type") or backend.get("type") or ""),
        networks=tuple(_networks(network, version)),
        device=_device(backend, version),
        plane=str(backend.get("data_plane") or ""),
        own=own,
        leases=tuple(lease for lease in rows if lease is not own),
        answered=True,
    )


def _networks(network: Document, version: int) -> Iterator[IPNetwork]:
    if text := network.get("network" if version == 4 else "network6"):
        yield ip_network(text)


def _rows(subnets: Document, version: int) -> Iterator[tuple[Document, IPNetwork]]:
    for row in subnets.get("subnets", ()):
        if text := row.get("subnet" if version == 4 else "subnet6"):
            yield row, ip_network(text)


def _lease(row: Document, subnet: IPNetwork, version: int) -> LeaseSeen:
    six = "" if version == 4 else "6"
    return LeaseSeen(
        subnet=subnet,
        node=str(row.get("host") or row.get("node_id") or ""),
        public_ip=str(row.get(f"public_ip{six}") or ""),
        backend=str(row.get("backend_type") or ""),
        mac=str(row.get(f"vtep_mac{six}") or "").lower(),
        state=str(row.get("state") or ""),
        reason=str(row.get("reason") or ""),
        way=str(row.get("way") or ""),
    )


def _device(backend: Document, version: int) -> Device | None:
    """The overlay's link of that family, as wanted."""
    link = _link(backend.get("links") or (), version)
    if link is None:
        return None
    return Device(
        name=str(link["name"]),
        up=True,
        carrier=True,
        mtu=int(link.get("mtu") or 0),
        kind=_kind(link),
        mac=str(link.get("mac") or "").lower(),
        vni=link.get("vni"),
        port=link.get("port"),
        local=str(link.get("local") or ""),
    )


def _link(links: Sequence[Document], version: int) -> Document | None:
    """Return the link of that family; WireGuard's devices carry either in packets of any, and go by their name."""
    tunnels = [link for link in links if _kind(link) == "wireguard"]
    if tunnels:
        return next(
            (link for link in tunnels if str(link["name"]).endswith("-v6") == (version == 6)), tunnels[0]
        )
    return next((link for link in links if (":" in str(link.get("local"))) == (version == 6)), None)


def _kind(link: Document) -> str:
    if link.get("kind"):
        return str(link["kind"])
    if link.get("mac"):
        return "vxlan"
    return "tun" if link.get("port") else "ipip"


def probed(peers: Document, lease: LeaseSeen) -> Probed | None:
    """The peer's row in `/v1/peers`, if it was ever probed."""
    for row in peers.get("peers", ()):
        if str(lease.subnet) in {row.get("subnet"), row.get("subnet6")} and row.get("reach"):
            return Probed(
                str(row["reach"]),
                str(row.get("trouble") or ""),
                str(row.get("evidence") or ""),
                str(row.get("cure") or ""),
                int(row.get("path_mtu") or 0),
                int(row.get("path_mtu_wanted") or 0),
            )
    return None
