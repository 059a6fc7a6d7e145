"""Objects of others on a host: planted before, compared after. None of them may ever be touched.

There is something of every kind that flanpy handles: links, addresses, neighbours, FDB entries, routes in several
tables, rules, packet filters, dockerd's settings file; some of it near to ours.
"""

from __future__ import annotations

import json
from typing import Any

from integration.hosts.host import Host
from integration.truth.fabric import VXLAN, Fabric

FILTER = "chaos_foreign"
DAEMON_JSON = '{"bip": "198.19.7.1/24", "mtu": 1400, "log-level": "warn"}\n'
_LINES = (
    "link add foreignbr type bridge",
    "link add foreignve type veth peer name foreignpeer",
    "link set foreignve alias keep-out",
    "link add foreignvx type vxlan id 77 dstport 4790 local 127.0.0.1 nolearning",
    "link set foreignbr up",
    "link set foreignve up",
    "link set foreignpeer up",
    "link set foreignvx up",
    "addr add 198.19.0.1/24 dev foreignbr",
    "addr add 198.51.100.1/24 dev foreignve",
    "neigh add 198.19.0.9 lladdr 02:de:c0:00:00:09 dev foreignbr nud permanent",
    "neigh add 198.51.100.9 lladdr 02:de:c0:00:00:0a dev foreignvx nud permanent",
    "route add 203.0.113.0/24 via 198.19.0.9 dev foreignbr proto static",
    "route add blackhole 203.0.113.128/25 proto boot",
    "route add 198.18.0.0/24 via 198.19.0.9 dev foreignbr table 4242",
    "rule add pref 30000 to 198.18.0.0/15 lookup 4242",
)
_NEAR = "route add {} via 198.19.0.9 dev foreignbr proto bird metric 4000"
"""In the midst of the overlay's range, where each peer's own route is the longer; udp has but one route for all."""
_FDB = "bridge fdb append 02:de:c0:00:00:0b dev foreignvx dst 198.19.0.77 self permanent"
_LINKS = ("foreignbr", "foreignve", "foreignpeer", "foreignvx")


def plant(host: Host, fabric: Fabric = VXLAN) -> None:
    """Put all of these objects there, and refuse forwarding by default, as hosts of Docker do."""
    host.ip(*_LINES, _NEAR.format("10.51.0.0/17" if fabric.name == "udp" else "10.50.0.0/17"))
    host.run(*_FDB.split())
    plant_filter(host)
    (host.directory / "daemon.json").write_text(DAEMON_JSON)


def plant_filter(host: Host) -> None:
    """The packet filter's part, which a flush of everything takes with it.

    Forwarding is refused where flanpyd runs; of a program without marks it is not known whether it sees to that.
    """
    rule = "ip saddr 203.0.113.7 counter drop"
    chain = f"chain keep {{ type filter hook forward priority 10; {rule}; }}"
    host.run("nft", "-f", "-", stdin=f"table inet {FILTER} {{ {chain}; }}\n")
    if host.daemon.program.marks.alias:
        host.run("iptables", "-P", "FORWARD", "DROP")


def read(host: Host) -> dict[str, Any]:
    """Return all of these objects as they are now, by name."""
    found: dict[str, Any] = {}
    for link in host.ip_json("-d", "link", "show"):
        if link["ifname"] in _LINKS:
            kept = ("ifindex", "address", "mtu", "flags", "ifalias", "master")
            found[f"link {link['ifname']}"] = [link.get(key) for key in kept]
    for row in host.ip_json("-4", "address", "show"):
        if row["ifname"] in _LINKS:
            found[f"addresses {row['ifname']}"] = [each["local"] for each in row["addr_info"]]
    found["neighbours"] = sorted(
        f"{row['dst']} {row['dev']} {row.get('lladdr')}"
        for row in host.ip_json("neigh", "show", "nud", "permanent")
        if row["dev"] in _LINKS
    )
    found["fdb"] = sorted(
        f"{row['mac']} {row['ifname']} {row.get('dst')}"
        for row in host.bridge_json("fdb", "show")
        if row.get("ifname") == "foreignvx"
    )
    found["routes"] = sorted(
        json.dumps(row, sort_keys=True)
        for row in host.ip_json("-4", "-d", "route", "show", "table", "all")
        if row.get("dev") in _LINKS or row.get("type") == "blackhole"
    )
    found["rules"] = sorted(json.dumps(row, sort_keys=True) for row in host.ip_json("rule", "show"))
    found["filter"] = host.run("nft", "--stateless", "list", "table", "inet", FILTER, check=False).stdout
    found["policy"] = host.run("iptables", "-S", "FORWARD", check=False).stdout.partition("\n")[0]
    stat = (host.directory / "daemon.json").stat()
    found["daemon.json"] = [(host.directory / "daemon.json").read_text(), stat.st_mtime_ns, stat.st_ino]
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the objects that have changed, a line each."""
    return [
        f"{name}: was {before.get(name)}, is {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
