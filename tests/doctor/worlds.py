"""Hosts as doctor sees them: a well one, and one for each problem, made from it by one change.

The expanders give each problem other company, which must not hide it or change what is said first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from flanpy.doctor.facts import EndpointSeen, Facts, RouteSeen, Told, Traced
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.event import WHOLE
from flanpy.trace.filter import Chain, Effect, Hook, TracedRule, TracedTable
from flanpy.trace.seen import Device, Direction, Entry, LeaseSeen, Overlay, RouteAnswer, Seen
from flanpy.trace.walk import walk
from tests.cli.stand_in import STATUS, SUBNETS

NOW = 1_800_000_900.0
OVERLAY, OWN, PEER = (ip_network(text) for text in ("10.50.0.0/16", "10.50.1.0/24", "10.50.2.0/24"))
MAC, PEER_MAC = "02:00:5e:10:00:01", "02:00:5e:10:00:02"

VXLAN = Device("flannel.1", True, True, 1450, "vxlan", MAC, 1, 8472, "192.0.2.11")
ETH = Device("eth1", True, True, 1500)
BRIDGE = Device("docker0", True, True, 1450, "bridge")
ADDRESSES = {
    ip_address("192.0.2.11"): "eth1",
    ip_address("10.50.1.0"): "flannel.1",
    ip_address("10.50.1.1"): "docker0",
}
LEASE = LeaseSeen(PEER, "node-2", "192.0.2.12", "vxlan", PEER_MAC, "programmed", way="tunnel")

Change = Callable[[Facts], Facts]

SEEN = Seen(
    destination=PEER[2],
    source=OWN[2],
    direction=Direction.OUT,
    overlay=Overlay(
        "vxlan", (OVERLAY,), VXLAN, "", LeaseSeen(OWN, "node-1", "192.0.2.11", state="own"), (LEASE,), True
    ),
    in_link="docker0",
    peer=LEASE,
    devices={"flannel.1": VXLAN, "eth1": ETH, "docker0": BRIDGE},
    addresses=ADDRESSES,
    inner=RouteAnswer("flannel.1", PEER[0], entry="10.50.2.0/24"),
    outer=RouteAnswer("eth1", None, ip_address("192.0.2.11")),
    neighbours={str(PEER[0]): Entry(PEER_MAC, "PERMANENT")},
    outer_neighbours={},
    fdb={PEER_MAC: ("192.0.2.12",)},
    sysctls={"net.ipv4.ip_forward": "1"},
)


def well() -> Facts:
    """Nothing ails it."""
    subnets = copy.deepcopy(SUBNETS)
    row = {
        **subnets["subnets"][1],
        "subnet6": None,
        "node_id": "node-2",
        "reservation": False,
        "state": "programmed",
    }
    subnets.update(subnets=[subnets["subnets"][0], row], invalid=[])
    status = copy.deepcopy(STATUS)
    status["backend"]["links"][0]["mac"] = MAC
    return Facts(
        now=NOW,
        answers={
            "status": status,
            "subnets": subnets,
            "peers": {"peers": [_peer("reachable", "")]},
            "diff": {"trusted": True, "lines": [], "held": "", "held_lines": [], "conflicts": []},
            "events": {"events": []},
            "config": [],
        },
        networks=(OVERLAY,),
        own=(OWN,),
        env_mtu=1450,
        env_own=(OWN,),
        devices=SEEN.devices,
        addresses=ADDRESSES,
        routes=(
            RouteSeen(destination=ip_network("0.0.0.0/0"), link="eth1"),
            RouteSeen(destination=ip_network("10.0.0.0/8"), link="eth1"),
            RouteSeen(destination=PEER, link="flannel.1", proto="70"),
        ),
        sysctls={"net.ipv4.ip_forward": "1"},
        checksums={"flannel.1": True},
        endpoints=(EndpointSeen(url="http://192.0.2.1:2379", took=0.01, skew=0.2),),
        docker_after=("flanpyd.service",),
        traced=(Traced(SEEN, walk(SEEN)),),
    )


def _peer(reach: str, trouble: str, **more: Any) -> dict[str, Any]:
    said = {
        "node_id": "node-2",
        "subnet": "10.50.2.0/24",
        "public_ip": "192.0.2.12",
        "evidence": "as measured",
    }
    return {
        **said,
        "reach": reach,
        "trouble": trouble,
        "cure": "open it",
        "path_mtu": 0,
        "path_mtu_wanted": 0,
        **more,
    }


def answer(resource: str, change: Callable[[Any], object]) -> Change:
    """One of the daemon's documents, altered."""

    def changed(facts: Facts) -> Facts:
        answers = copy.deepcopy(dict(facts.answers))
        change(answers[resource])
        return replace(facts, answers=answers)

    return changed


def bad(kind: ConditionType, reason: str = "Bad") -> Change:
    """An unhealthy condition."""
    row = {"type": kind.value, "status": "False", "reason": reason, "message": "so it is", "cure": "mend it"}
    return answer("status", lambda status: status["conditions"].append({**row, "healthy": False}))


def repaired(
    what: str, attribute: str = WHOLE, *, times: int = 1, count: int = 1, ago: float = 10.0
) -> Change:
    """An event; `why` has no words that a check could read."""
    event = {
        "number": 1,
        "at": NOW - ago,
        "kind": "repaired",
        "what": what,
        "why": "put right",
        "count": count,
        "attributes": [attribute],
        "times": times,
    }
    return answer("events", lambda events: events["events"].append(event))


def _offload(**judgement: str) -> Change:
    """The VXLAN device's offload is off; the daemon is content with what it decided."""
    row = {"type": _C.CHECKSUM_OFFLOAD.value, "healthy": True, "message": "so it is", "cure": "", **judgement}
    said = answer("status", lambda status: status["conditions"].append(row))
    return lambda facts: replace(said(facts), checksums={"flannel.1": False})


def reached(reach: str, trouble: str, **more: Any) -> Change:
    return answer("peers", lambda peers: peers.update(peers=[_peer(reach, trouble, **more)]))


def facts(**values: Any) -> Change:
    return lambda seen: replace(seen, **values)


def packet(**values: Any) -> Change:
    """Return the change that traces one packet, with these values altered."""
    seen = replace(SEEN, **values)
    return lambda known: replace(known, traced=(Traced(seen, walk(seen)),))


def rule(table: str, chain: str, hook: Hook, one: TracedRule | None = None, *, drops: bool = False) -> Change:
    rules = (one,) if one else ()
    made = Chain(chain, rules, hook, is_nat=table == "nat", drops=drops)
    return packet(tables=(TracedTable("iptables-nft", table, None, {chain: made}),))


def _etcd(**values: Any) -> Change:
    return facts(endpoints=(EndpointSeen(url="http://192.0.2.1:2379", **values),))


def _row(number: int, **values: Any) -> Change:
    return answer("subnets", lambda subnets: subnets["subnets"][number].update(values))


def _reserve(subnets: Any) -> None:
    row = {**subnets["subnets"][0], "key": "10.50.9.0-24", "subnet": "10.50.9.0/24", "own": False}
    subnets["subnets"].append({**row, "reservation": True})


SHOP = {"name": "shop", "mtu": 1450, "bridge": "fb-10001", "port": "fv-10001"}


def in_shop(*links: Device) -> Change:
    """On the named network `shop`, with these links in its bridge beside our device and a container's end."""
    well = (
        Device("fv-10001", True, True, 1450, "vxlan", master="fb-10001"),
        Device("veth0", True, True, 1450, "veth", master="fb-10001"),
        Device("veth9", True, True, 1500, "veth", master="docker0"),
    )

    def change(seen: Facts) -> Facts:
        devices = {**(seen.devices or {}), **{one.name: one for one in (*well, *links)}}
        return replace(answer("status", lambda status: status.update(networks=[SHOP]))(seen), devices=devices)

    return change


def _docker(reason: str) -> Change:
    return bad(ConditionType.DOCKER_CONSISTENT, reason)


_C = ConditionType
_DOCKER_SILENT = Condition(
    _C.DOCKER_CONSISTENT, Status.FALSE, "BridgeDiffers", "docker0 differs", healthy=False, cure="apply"
)

PROBLEMS: tuple[tuple[str, str, Change], ...] = (
    ("P01", "the daemon says that Docker drops", _docker("EngineDropsUs")),
    ("P01", "a raw rule drops",
     rule("raw", "PREROUTING", Hook.PREROUTING, TracedRule("-d 10.50.2.2 -j DROP", Effect.DROP))),
    ("P01", "a chain of Docker's drops", rule("filter", "DOCKER", Hook.FORWARD, TracedRule("-j DROP", Effect.DROP))),
    ("P02", "the policy drops", rule("filter", "FORWARD", Hook.FORWARD, drops=True)),
    ("P02", "a rule drops", rule("filter", "FORWARD", Hook.FORWARD, TracedRule("-j REJECT", Effect.DROP, packets=7))),
    ("P02", "a peer's filter drops", reached("unreachable", "Firewall")),
    ("P03", "rules came back", repaired("filter")),
    ("P04", "forwarding is off", packet(sysctls={"net.ipv4.ip_forward": "0"})),
    ("P04", "the bridge does not forward",
     facts(sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.conf.docker0.forwarding": "0"})),
    ("P04", "a link does not forward", bad(_C.FORWARDING_ENABLED, "OffOnLink")),
    ("P04", "forwarding of the device came back", repaired("linksysctl", "forwarding")),
    ("P04", "forwarding is refused", bad(_C.FORWARDING_ENABLED, "Refused")),
    ("P04", "forwarding came back", repaired("sysctl", "net.ipv4.ip_forward")),
    ("P22", "IPv6 has no room", bad(_C.MTU_CONSISTENT, "TooNarrow")),
    ("P22", "IPv6 alone has no room", bad(_C.BACKEND_READY, "TooNarrow")),
    ("P32", "a rule goes before main", bad(_C.FOREIGN_CONFLICT, "PolicyRouting")),
    ("P32", "a rule leads a packet astray",
     packet(inner=RouteAnswer("tun9", entry="10.0.0.0/8 dev tun9", table="52"),
            rules={"52": "5270: from all lookup 52"})),
    ("P05", "strict filters drop", bad(_C.HOST_TUNED, "StrictReversePath")),
    ("P05", "a peer's filter is strict", reached("unreachable", "ReversePath")),
    ("P06", "the port is blocked", reached("unreachable", "PortBlocked")),
    ("P06", "one way", reached("unreachable", "OneWayOut")),
    ("P06", "our own filter", rule("filter", "OUTPUT", Hook.OUTPUT, TracedRule("-p udp -j DROP", Effect.DROP))),
    ("P07", "offload is on", facts(checksums={"flannel.1": True}, told=Told(tx_checksum="off"), answers={})),
    ("P07", "offload is off", _offload(status="True", reason="Right")),
    ("P07", "offload is off on purpose", _offload(status="False", reason="BrokenDriver")),
    ("P07", "the card errs", bad(_C.CHECKSUM_OFFLOAD, "Corrupted")),
    ("P07", "the card errs, and is left to", bad(_C.CHECKSUM_OFFLOAD, "CorruptedAndOn")),
    ("P07", "offload is refused", bad(_C.CHECKSUM_OFFLOAD, "Refused")),
    ("P07", "offload went on again", repaired("feature", "tx-checksum-ip-generic")),
    ("P08", "a foreign masquerade",
     rule("nat", "POSTROUTING", Hook.POSTROUTING, TracedRule("-s 10.0.0.0/8 -j MASQUERADE", Effect.REWRITE_SOURCE))),
    ("P08", "Docker masquerades", _docker("Masquerades")),
    ("P09", "ports are not random", facts(told=Told(masquerade=True, random_ports=False), insert_failed=3)),
    ("P10", "rules failed", bad(_C.FIREWALL_READY, "Failed")),
    ("P11", "the device is gone", facts(devices={"eth1": ETH})),
    ("P11", "the device cannot be made", bad(_C.BACKEND_READY, "LinkTaken")),
    ("P11", "the device came back", repaired("link")),
    ("P12", "the MAC differs", facts(devices={"flannel.1": replace(VXLAN, mac="02:00:00:00:00:99"), "eth1": ETH})),
    ("P12", "the MAC was put back", repaired("link", "mac")),
    ("P13", "the route leads elsewhere", packet(inner=RouteAnswer("eth1", None, entry="10.50.2.0/24"))),
    ("P13", "a foreign object", bad(_C.FOREIGN_CONFLICT, "Foreign")),
    ("P13", "routes came back", repaired("route")),
    ("P14", "no neighbour", packet(neighbours={})),
    ("P14", "wrong entry in the FDB", packet(fdb={PEER_MAC: ("192.0.2.99",)})),
    ("P14", "entries came back", repaired("fdb")),
    ("P15", "deletions are held", answer("diff", lambda diff: diff.update(held="not listed", held_lines=["ip r del"]))),
    ("P16", "a poison value", answer("subnets", lambda s: s["invalid"].append({"key": "junk", "reason": "no subnet"}))),
    ("P16", "peers vanished at once", bad(_C.MASS_DELETE_HELD, "Held")),
    ("P18", "no way to a peer", bad(_C.PEERS_PROGRAMMED, "NoWay")),
    ("P19", "a black hole", reached("reachable", "MTUBlackHole", path_mtu=1350, path_mtu_wanted=1450)),
    ("P19", "Docker's MTU", _docker("MTUDiffers")),
    ("P20", "too many neighbours", bad(_C.NEIGHBOURS_FIT, "TooSmall")),
    ("P21", "no link", bad(_C.UNDERLAY_READY, "NoLink")),
    ("P21", "a shared address", bad(_C.DUPLICATE_PUBLIC_IP, "SharedAddress")),
    ("P21", "two defaults", facts(routes=tuple(
        RouteSeen(destination=ip_network("0.0.0.0/0"), link=link) for link in ("eth1", "eth2")))),
    ("P22", "no IPv6", facts(networks=(ip_network("fd50::/48"),), sysctls={"net.ipv6.conf.eth1.disable_ipv6": "1"})),
    ("P23", "the watch is lost", bad(_C.DATASTORE_REACHABLE, "Unreachable")),
    ("P24", "etcd is away", _etcd(problem="Connection refused")),
    ("P24", "etcd is slow", _etcd(took=2.5)),
    ("P25", "no lease", bad(_C.LEASE_VALID, "Expired")),
    ("P25", "drained", bad(_C.LEASE_VALID, "Drained")),
    ("P25", "the lease ends", answer("status", lambda status: status["own"].update(expires_in=20.0))),
    ("P26", "another claims it", bad(_C.LEASE_CONFLICT, "OwnedByAnother")),
    ("P26", "leases overlap", _row(1, subnet="10.50.1.128/25")),
    ("P26", "clocks differ", _etcd(skew=-90.0)),
    ("P27", "the address moved", answer("status", lambda status: status["own"].update(public_ip="192.0.2.77"))),
    ("P28", "no subnet is left", bad(_C.SUBNETS_AVAILABLE, "Exhausted")),
    ("P29", "a reservation is not used", answer("subnets", _reserve)),
    ("P30", "docker0 differs", _docker("BridgeDiffers")),
    ("P30", "docker0 differs, and no daemon says so", facts(docker=_DOCKER_SILENT)),
    ("P30", "Docker starts first", facts(docker_after=("network.target",))),
    ("P30", "subnet.env is another's", facts(env_own=(ip_network("10.50.9.0/24"),))),
    ("P36", "a host is down", reached("unreachable", "PeerDown")),
    ("P37", "packets are lost", reached("lossy", "Loss")),
    ("P37", "nothing explains it", reached("unreachable", "Unexplained")),
    ("P31", "a port is another's", bad(_C.LISTENERS_UP, "CannotListen")),
    ("P21", "no way beneath the overlay", reached("unreachable", "NoUnderlay")),
    ("P35", "settings wait", bad(_C.RESTART_NEEDED, "ConfigChanged")),
    ("P32", "a foreign route", facts(routes=(RouteSeen(destination=ip_network("10.50.2.128/25"), link="tun9"),))),
    ("P33", "a permission is missing", bad(_C.CLOUD_ROUTES, "PermissionMissing")),
    ("P33", "a table is full", bad(_C.CLOUD_ROUTES, "TableFull")),
    ("P33", "a table fills up", bad(_C.CLOUD_ROUTES, "TableNearlyFull")),
    ("P33", "a source check is on", bad(_C.CLOUD_ROUTES, "HostUnfit")),
    ("P33", "a table is the wrong one", bad(_C.CLOUD_ROUTES, "WrongTable")),
    ("P38", "a lease takes the way to etcd", bad(_C.PEER_LEASES_VALID, "KeptOut")),
    ("P39", "no resolver listens", bad(_C.NAMES_SERVED, "NotListening")),
    ("P40", "a range is this host's own", bad(_C.NETWORKS_READY, "KeptOut")),
    ("P40", "a network is full", bad(_C.NETWORKS_READY, "NoSlice")),
    ("P40", "Docker lacks a network", bad(_C.NETWORKS_READY, "NotInDocker")),
    ("P40", "Docker refuses a network", bad(_C.NETWORKS_READY, "RefusedByDocker")),
    ("P41", "an address is taken twice", bad(_C.ADDRESSES_UNIQUE, "TakenTwice")),
    ("P42", "a peer answers no handshake", bad(_C.ENCRYPTED, "HandshakeOverdue")),
    ("P42", "a peer sends from elsewhere", bad(_C.ENCRYPTED, "EndpointDiffers")),
    ("P43", "the key file is another's", bad(_C.BACKEND_READY, "KeyUnusable")),
    ("P44", "the clock was set back", bad(_C.ENCRYPTED, "ClockSetBack")),
    ("P40", "a network is too wide", bad(_C.NETWORKS_READY, "TooNarrow")),
    ("P40", "a container is wider than its network",
     in_shop(Device("veth1", True, True, 1500, "veth", master="fb-10001"))),
    ("P40", "a network card is in a network's bridge", in_shop(replace(ETH, master="fb-10001"))),
    ("P34", "an etcd with holes", lambda seen: replace(
        _etcd(version="3.4.23")(seen), told=Told(etcd_user="flanpy"))),
    ("P34", "an etcd that gets no fixes", _etcd(version="3.4.23")),
    ("P32", "a name server inside", facts(nameservers=(ip_address("10.50.200.1"),))),
)  # fmt: skip


def expanded(change: Change) -> Iterator[tuple[str, Facts]]:
    """The problem alone, after an older repair of another kind, and twice the same."""
    yield "alone", change(well())
    yield (
        "after an older repair",
        change(repaired("neighbour", ago=300.0)(well())),
    )
    yield (
        "with settings that wait",
        replace(change(well()), told=replace(change(well()).told, stale=("iface: ...",))),
    )
