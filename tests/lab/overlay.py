"""What must stand on a host and what does, by the words of `ip`, `bridge` and etcd: nothing here uses flanpy's code.

`wanted` is written down anew from flannel's facts (the leases in etcd, the network config, the underlay), `standing`
is read with iproute2, and both are sets of lines, so that a difference reads as what to type.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from integration.lab import ETCD_PREFIX, Host, Lab, LabError, flanpyctl
from integration.net.namespaces import sysctl
from integration.net.waiting import PATIENCE
from tests.lab.filter_side import foreign_rules

DEADLINE_S = 5.0
"""How long healing may take here. The promise is a second, which the benchmark measures; two busy cores lie."""

OUR_PROTO = "70"


@dataclass(frozen=True, slots=True)
class Peer:
    """One family of one lease."""

    subnet: str
    public_ip: str
    mac: str

    @property
    def vtep(self) -> str:
        return str(ip_network(self.subnet).network_address)


def config(lab: Lab) -> dict[str, Any]:
    """The network config in etcd."""
    entry = lab.etcd.api.get(f"{ETCD_PREFIX}/config")
    assert entry is not None
    found: dict[str, Any] = json.loads(entry.value)
    return found


def backend_type(lab: Lab) -> str:
    """The network's backend."""
    return str(config(lab).get("Backend", {}).get("Type", "udp"))


def leases(lab: Lab, *, version: int = 4) -> dict[str, Peer]:
    """Every lease of the network's backend with that family, by node id (or by key for those that have none)."""
    says = {"udp": None, "alloc": None}.get(kind := backend_type(lab), kind)
    found = {}
    for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/"):
        value = json.loads(entry.value)
        subnets = [part.replace("-", "/") for part in entry.key.rsplit("/", 1)[1].split("&")]
        subnet = next((s for s in subnets if ip_network(s).version == version), None)
        public = value["PublicIP"] if version == 4 else value.get("PublicIPv6")
        data = value.get("BackendData" if version == 4 else "BackendV6Data") or {}
        if subnet and public and value.get("BackendType") == says and ("VtepMAC" in data or kind != "vxlan"):
            found[value.get("NodeID") or entry.key] = Peer(subnet, public, data.get("VtepMAC", ""))
    return found


def device(lab: Lab, *, version: int = 4) -> str:
    """The name of the overlay's device."""
    if backend_type(lab) == "udp":
        return "flannel0"
    vni = config(lab).get("Backend", {}).get("VNI", 1)
    return f"flannel.{vni}" if version == 4 else f"flannel-v6.{vni}"


def versions(lab: Lab) -> list[int]:
    """The IP versions of the network."""
    found = config(lab)
    return [v for v, key in ((4, "Network"), (6, "IPv6Network")) if found.get(key)]


def wanted(lab: Lab, host: Host) -> set[str]:
    """Every line that must be true of the host."""
    return {line for version in versions(lab) for line in _wanted(lab, host, version)}


def _wanted(lab: Lab, host: Host, version: int) -> Iterator[str]:
    backend, kind = config(lab).get("Backend", {}), backend_type(lab)
    name, nic = device(lab, version=version), nic_of(host)
    peers = leases(lab, version=version)
    own = peers.pop(host.name, None)
    if own is None:
        yield f"lease of {host.name} in etcd"
        return
    if kind == "host-gw":
        yield from _direct(host, peers.values(), nic)
    if kind == "udp":
        yield from _wanted_tunnel(lab, host, name, own)
    if kind != "vxlan":
        return
    vni, port = backend.get("VNI", 1), backend.get("Port", 8472)
    underlay = host.ip_json("link", "show", "dev", nic)[0]["mtu"]
    mtu = (backend.get("MTU") or underlay) - (50 if version == 4 else 70)
    yield f"link {name} {own.mac} mtu {mtu} vni {vni} local {own.public_ip} dev {nic} port {port} flanpy UP"
    yield f"addr {name} {own.vtep}/{32 if version == 4 else 128}"
    for peer in peers.values():
        if backend.get("DirectRouting") and _on_link(host, peer.public_ip):
            yield from _direct(host, [peer], nic)
            continue
        yield f"neigh {name} {peer.vtep} lladdr {peer.mac}"
        yield f"fdb {name} {peer.mac} dst {peer.public_ip}"
        yield f"route {peer.subnet} via {peer.vtep} dev {name} proto {OUR_PROTO} onlink"


def _wanted_tunnel(lab: Lab, host: Host, name: str, own: Peer) -> Iterator[str]:
    """The device and its one route; which peers it leads to is in no kernel table that iproute2 could show."""
    mtu = host.ip_json("link", "show", "dev", nic_of(host))[0]["mtu"] - 28
    yield f"link {name} tun persistent mtu {mtu} flanpy UP"
    yield f"addr {name} {own.vtep}/32"
    yield f"route {config(lab)['Network']} via None dev {name} proto {OUR_PROTO}"


def _direct(host: Host, peers: Iterable[Peer], nic: str) -> Iterator[str]:
    """Plain routes, to those that need no gateway."""
    for peer in peers:
        if _on_link(host, peer.public_ip):
            yield f"route {peer.subnet} via {peer.public_ip} dev {nic} proto {OUR_PROTO}"


def nic_of(host: Host) -> str:
    """The link that has the host's underlay address."""
    rows = host.ip_json("address", "show", "to", host.address)
    return str(next((row["ifname"] for row in rows if row), "no link"))


def _on_link(host: Host, address: str) -> bool:
    return "gateway" not in host.ip_json("route", "get", address)[0]


def standing(lab: Lab, host: Host) -> set[str]:
    """Every line that is true of the host: our links with all that is on them, and every route of our protocol."""
    lines: set[str] = set()
    ours = set()
    for link in host.ip_json("-d", "link", "show"):
        name, details = link["ifname"], link.get("linkinfo", {})
        if name.startswith("flannel") or link.get("ifalias") == "flanpy":
            ours.add(name)
            lines.add(_link_line(link, details))
    for name in ours:
        lines.update(_entries_on(host, name))
    for family in ("-4", "-6"):
        for route in host.ip_json(family, "-d", "route", "show", "table", "all"):
            if route.get("protocol") == OUR_PROTO or (
                route.get("dev") in ours and route.get("protocol") != "kernel"
            ):
                lines.add(_route_line(route))
    return lines


def _link_line(link: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    data = details.get("info_data", {})
    if details.get("info_kind") == "tun":
        return _tun_line(link, data)
    up = "UP" if "UP" in link["flags"] else "DOWN"
    learning = " learning" if data.get("learning") else ""
    return (
        f"link {link['ifname']} {link.get('address')} mtu {link['mtu']} vni {data.get('id')}"
        f" local {data.get('local') or data.get('local6')} dev {data.get('link')} port {data.get('port')}"
        f" {link.get('ifalias', 'unmarked')} {up}{learning}"
    )


def _tun_line(link: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    up = "UP" if "UP" in link["flags"] else "DOWN"
    kept = "persistent" if data.get("persist") else "fleeting"
    return f"link {link['ifname']} {data.get('type')} {kept} mtu {link['mtu']} {link.get('ifalias', 'unmarked')} {up}"


def _entries_on(host: Host, name: str) -> Iterator[str]:
    for row in host.ip_json("address", "show", "dev", name):
        for address in row.get("addr_info", []):
            if address["scope"] != "link":
                yield f"addr {name} {address['local']}/{address['prefixlen']}"
    for entry in host.ip_json("neigh", "show", "dev", name, "nud", "permanent"):
        yield f"neigh {name} {entry['dst']} lladdr {entry.get('lladdr')}"
    for entry in host.bridge_json("fdb", "show", "dev", name):
        yield f"fdb {name} {entry['mac']} dst {entry.get('dst')}"


def _route_line(route: Mapping[str, Any]) -> str:
    table = f" table {route['table']}" if route.get("table", "main") != "main" else ""
    onlink = " onlink" if "onlink" in route.get("flags", []) else ""
    return (
        f"route {route['dst']} via {route.get('gateway')} dev {route.get('dev')}"
        f" proto {route.get('protocol')}{onlink}{table}"
    )


def wrongs(lab: Lab, host: Host) -> list[str]:
    """What is missing on the host (-) and what is too much (+)."""
    must, does = wanted(lab, host), standing(lab, host)
    return [f"{host.name}: -{line}" for line in sorted(must - does)] + [
        f"{host.name}: +{line}" for line in sorted(does - must)
    ]


def assert_settled(lab: Lab, hosts: Iterable[Host] | None = None, *, deadline: float = DEADLINE_S) -> None:
    """Wait until exactly what must stand stands on each host, and the daemon says it is ready."""
    for host in lab.hosts if hosts is None else hosts:
        _assert_host_settled(lab, host, deadline)


def _assert_host_settled(lab: Lab, host: Host, deadline: float) -> None:
    eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host), deadline=deadline)
    eventually(host.daemon.is_ready, lambda: host.daemon.fetch("/readyz"), deadline=deadline)


def eventually(
    holds: Callable[[], object], otherwise: Callable[[], object] | str, *, deadline: float = DEADLINE_S
) -> None:
    """Poll until `holds` is true; AssertionError with what `otherwise` says then."""
    end = time.monotonic() + deadline * PATIENCE
    while not _now(holds):
        if time.monotonic() > end:
            said = otherwise if isinstance(otherwise, str) else otherwise()
            raise AssertionError(f"not so after {deadline * PATIENCE:g} s: {said}")
        time.sleep(0.01)


def _now(holds: Callable[[], object]) -> object:
    try:
        return holds()
    except (LabError, OSError):  # what is looked at may vanish between two looks
        return False


def never(happens: Callable[[], object], what: str, *, seconds: float) -> None:
    """For what must not happen: look again and again for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not happens(), what
        time.sleep(0.02)


def metric(host: Host, name: str, **labels: str) -> float:
    """One sample of the daemon's metrics page; 0 if there is none."""
    for line in host.daemon.metrics().splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([\d.e+-]+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return 0.0


def metric_sum(host: Host, name: str, **labels: str) -> float:
    """All samples of the page with at least these labels, together."""
    total = 0.0
    for line in host.daemon.metrics().splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} ([\d.e+-]+)", line)
        if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1])).items():
            total += float(found[2])
    return total


def repairs(host: Host, kind: str) -> float:
    """How many objects of a kind were restored after others changed them."""
    return metric_sum(host, "flanpy_repairs_total", object=kind)


def condition(host: Host, kind: str) -> dict[str, Any]:
    """A condition from `flanpyctl status`."""
    said = json.loads(host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout)
    found: dict[str, Any] = next(c for c in said["conditions"] if c["type"] == kind)
    return found


def events(host: Host, name: str) -> list[dict[str, Any]]:
    """The daemon's log lines with that event, since its log began."""
    lines = host.daemon.log_text().splitlines()
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in parsed if line.get("event") == name]


def bridge(host: Host, line: str, *, check: bool = True) -> None:
    """One `bridge` command on the host, its words split at blanks."""
    host.run("bridge", *line.split(), check=check)


DECOY_LINES = (
    "link add decoybr type bridge",
    "link add decoyve type veth peer name decoypeer",
    "link set decoyve alias keep-out",
    "link add decoyvx type vxlan id 77 dstport 4790 local 127.0.0.1 nolearning",
    "link set decoybr up",
    "link set decoyve up",
    "link set decoypeer up",
    "link set decoyvx up",
    "addr add 198.19.0.1/24 dev decoybr",
    "addr add 198.51.100.1/24 dev decoyve",
    "neigh add 198.19.0.9 lladdr 02:de:c0:00:00:09 dev decoybr nud permanent",
    "neigh add 198.51.100.9 lladdr 02:de:c0:00:00:0a dev decoyvx nud permanent",
    "route add 203.0.113.0/24 via 198.19.0.9 dev decoybr proto static",
    "route add 10.50.0.0/17 via 198.19.0.9 dev decoybr proto bird metric 4000",
    "route add blackhole 203.0.113.128/25 proto boot",
    "route add 198.18.0.0/24 via 198.19.0.9 dev decoybr table 4242",
    "rule add pref 30000 to 198.18.0.0/15 lookup 4242",
    "addr add 2001:db8:de::1/64 dev decoybr nodad",
    "route add 2001:db8:df::/64 via 2001:db8:de::9 dev decoybr proto static",
)


def add_decoys(host: Host) -> None:
    """Objects of every kind that belong to somebody else, some of them near to ours."""
    host.ip(*DECOY_LINES)
    bridge(host, "fdb append 02:de:c0:00:00:0b dev decoyvx dst 198.19.0.77 self permanent")
    seen: list[str] = []

    def at_rest() -> bool:
        """Carriers come up and addresses are probed for a while."""
        seen.append(foreign_state(host))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(at_rest, "the decoys are at rest", deadline=15)


def remove_decoys(host: Host) -> None:
    """Take them away again."""
    host.ip(
        "rule del pref 30000",
        "route flush table 4242",
        "route del blackhole 203.0.113.128/25",
        "link del decoyvx",
        "link del decoyve",
        "link del decoybr",
    )


_RESTLESS = frozenset(
    {
        "gc_timer",
        "hello_timer",
        "tcn_timer",
        "topology_change_timer",
        "used",
        "updated",
        "probes",
        "tentative",
    }
)


def foreign_state(host: Host) -> str:
    """All of the namespace that is not ours, as text that does not change by itself."""
    links = [link for link in host.ip_json("-d", "link", "show") if not link["ifname"].startswith("flannel")]
    mine = {link["ifname"] for link in host.ip_json("link", "show") if link["ifname"].startswith("flannel")}
    parts: list[Any] = [links]
    parts.append([row for row in host.ip_json("-d", "address", "show") if row["ifname"] not in mine])
    parts += [
        [
            route
            for route in host.ip_json(family, "-d", "route", "show", "table", "all")
            if route.get("dev") not in mine and route.get("protocol") != OUR_PROTO and not _link_local(route)
        ]
        for family in ("-4", "-6")
    ]
    parts.append([row for row in host.ip_json("neigh", "show", "nud", "permanent") if row["dev"] not in mine])
    parts.append([row for row in host.bridge_json("fdb", "show") if row.get("ifname") not in mine])
    parts.append(host.ip_json("rule", "show"))
    parts.append(foreign_rules(host))
    return json.dumps(_calm(parts), indent=1, sort_keys=True)


def _link_local(route: dict[str, Any]) -> bool:
    """The kernel adds these by itself, a second or two after a link came up (duplicate address detection)."""
    return str(route.get("dst", "")).startswith(("fe80:", "ff00:"))


def _calm(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _calm(inner) for key, inner in value.items() if key not in _RESTLESS}
    return (
        sorted(map(_calm, value), key=json.dumps) if isinstance(value, list) else value
    )  # orders are the kernel's


def link_sysctl(host: Host, name: str, *, link: str = "flannel.1", family: str = "ipv4") -> str:
    """A per-link setting."""
    return sysctl(host.namespace, f"net/{family}/conf/{link}/{name}")
