"""The conditions that tests of a lab wait for: the lab's own oracle (integration.truth), metrics, events,
objects of others."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from integration.hosts.daemon import FLANPY_MARKS, ReadyBy
from integration.lab import ETCD_PREFIX, Host, Lab, LabError, flanpyctl
from integration.net.namespaces import sysctl
from integration.net.waiting import PATIENCE
from integration.truth import oracle
from integration.truth import standing as truth
from integration.truth.fabric import Fabric
from tests.lab.filter_side import foreign_rules

DEADLINE_S = 5.0
"""How long healing may take here. The promise is a second, which the benchmark measures; two busy cores lie."""

OUR_PROTO = FLANPY_MARKS.proto


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
    return Fabric(config(lab)).kind


def leases(lab: Lab, *, version: int = 4) -> dict[str, Peer]:
    """Return every lease of the network's backend with that family, by node id (or by subnet for those that
    have none)."""
    fabric = Fabric(config(lab))
    found = {}
    for lease in _leases(lab):
        subnet, public, mac = lease.of(f"-{version}")
        if subnet and public and lease.kind == fabric.type:
            found[lease.node or str(subnet)] = Peer(str(subnet), public, mac)
    return found


def _leases(lab: Lab) -> list[oracle.Lease]:
    return oracle.leases_of(lab.etcd.api.list(oracle.SUBNETS))


def device(lab: Lab, *, version: int = 4) -> str:
    """The name of the overlay's device."""
    return next(each.name for each in Fabric(config(lab)).devices if each.family == f"-{version}")


def wanted(lab: Lab, host: Host) -> set[str]:
    """Return every line that must be true of the host."""
    return oracle.wanted(host, _leases(lab), Fabric(config(lab)))


def standing(_lab: Lab, host: Host) -> set[str]:
    """Return every line that is true of the host: our links with all that is on them, and every route of our
    protocol."""
    return truth.standing(host)


def wrongs(lab: Lab, host: Host) -> list[str]:
    """Return what is missing on the host (-) and what is too much (+)."""
    return oracle.differences(host, wanted(lab, host), standing(lab, host))


def assert_settled(lab: Lab, hosts: Iterable[Host] | None = None, *, deadline: float = DEADLINE_S) -> None:
    """Wait until exactly what must stand stands on each host, and the daemon has read every lease and says it is ready.

    A host may agree with leases that it has not read yet, where a new one asks nothing of its kernel. What a daemon
    reports of a change that it heard from the kernel may still come later: await it with `eventually`."""
    for host in lab.hosts if hosts is None else hosts:
        _assert_host_settled(lab, host, deadline)


def assert_told(lab: Lab, host: Host, *, deadline: float = DEADLINE_S) -> None:
    """Wait until the host's lease names the address that the host has now.

    Hosts that still route to the old address agree with a lease that still names it: `assert_settled` holds then."""
    eventually(
        lambda: leases(lab)[host.name].public_ip == host.address,
        lambda: f"{host.name} is at {host.address}: {leases(lab)}",
        deadline=deadline,
    )


def _assert_host_settled(lab: Lab, host: Host, deadline: float) -> None:
    eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host), deadline=deadline)
    if host.daemon.program.ready_by is ReadyBy.READYZ:
        _assert_read(host, newest_lease(lab), deadline)
    eventually(host.daemon.is_ready, lambda: host.daemon.fetch("/readyz"), deadline=deadline)


def newest_lease(lab: Lab) -> int:
    """Return the etcd revision of the last write below the subnets."""
    return max((entry.mod_revision for entry in lab.etcd.api.list(oracle.SUBNETS)), default=0)


def _assert_read(host: Host, revision: int, deadline: float) -> None:
    """Wait until the last pass knew the leases of this etcd revision."""
    eventually(
        lambda: metric(host, "flanpy_store_revision") >= revision,
        lambda: (
            f"{host.name} has passed with revision {metric(host, 'flanpy_store_revision')}, not {revision}"
        ),
        deadline=deadline,
    )


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
    """Check again and again for a while that something does not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not happens(), what
        time.sleep(0.02)


def metric(host: Host, name: str, **labels: str) -> float:
    """Return one sample of the daemon's metrics page; 0 if there is none."""
    for line in host.daemon.metrics().splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([\d.e+-]+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return 0.0


def metric_sum(host: Host, name: str, **labels: str) -> float:
    """Return the sum of all samples of the page with at least these labels."""
    total = 0.0
    for line in host.daemon.metrics().splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} ([\d.e+-]+)", line)
        if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1])).items():
            total += float(found[2])
    return total


def repairs(host: Host, kind: str) -> float:
    """Return the number of objects of a kind that were restored after others changed them."""
    return metric_sum(host, "flanpy_repairs_total", object=kind)


def condition(host: Host, kind: str) -> dict[str, Any]:
    """A condition from `flanpyctl status`; LabError while nobody answers."""
    text = host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout
    if not text:  # the control socket is opened beside the health port, not before it
        raise LabError(f"{host.name}: no daemon answers")
    said = json.loads(text)
    found: dict[str, Any] = next(c for c in said["conditions"] if c["type"] == kind)
    return found


def events(host: Host, name: str) -> list[dict[str, Any]]:
    """The daemon's log lines with that event, since its log began."""
    lines = host.daemon.log_text().splitlines()
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in parsed if line.get("event") == name]


def bridge(host: Host, line: str, *, check: bool = True) -> None:
    """Run one `bridge` command on the host, its words split at blanks."""
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
    """Return all of the namespace that is not ours, as text that does not change by itself."""
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
