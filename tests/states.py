"""Named worlds, and the expanders that turn a list of them into histories.

A world is what a planner looks at; a history is worlds one after another. Whatever the history, what stands at its end
must be what its last world wants: that is what the tests that use these hold the core and the loop to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from flanpy.model.address import Mac
from flanpy.model.facts import HostFacts, HostRoute, Underlay
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey, VxlanData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import Former, Policy, World

POLICY = Policy("node-0")

V4 = NetworkConfig(
    network=IPv4Network("10.50.0.0/16"),
    subnet_len=24,
    subnet_min=IPv4Address("10.50.1.0"),
    subnet_max=IPv4Address("10.50.255.0"),
    backend_type="vxlan",
)
V6 = replace(
    V4,
    network=None,
    subnet_min=None,
    subnet_max=None,
    network6=IPv6Network("fd50::/48"),
    subnet_min6=IPv6Address("fd50:0:0:1::"),
    subnet_max6=IPv6Address("fd50:0:0:ffff::"),
)
DUAL = replace(V4, network6=V6.network6, subnet_min6=V6.subnet_min6, subnet_max6=V6.subnet_max6)

UNDERLAY = Underlay("eth0", 2, 1500, IPv4Address("192.0.2.10"), IPv6Address("2001:db8::a"), "default route")
FACTS = HostFacts(
    UNDERLAY,
    routes=(
        HostRoute(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("192.0.2.1")),
        HostRoute(IPv4Network("192.0.2.0/24"), "eth0", None),
        HostRoute(IPv6Network("::/0"), "eth0", IPv6Address("2001:db8::1")),
        HostRoute(IPv6Network("2001:db8::/64"), "eth0", None),
    ),
    addresses=frozenset({
        IPv4Address("192.0.2.10"), IPv6Address("2001:db8::a"), IPv4Address("10.50.10.1"), IPv6Address("fd50:0:0:a::1"),
    }),
)  # fmt: skip


def options(network: NetworkConfig, **backend_options: object) -> NetworkConfig:
    """The network with these Backend options (keys in lower case)."""
    return replace(network, backend_options=MappingProxyType(backend_options))


def lease(
    number: int,
    network: NetworkConfig = V4,
    *,
    public: str = "",
    mac: str = "",
    vni: int | None = 1,
    node_id: str | None = None,
    revision: int = 0,
    reserved: bool = False,
) -> Lease:
    """The lease of host `number` (0: our own; up to 199): subnet 10.50.<number+10>.0/24, public 192.0.2.<number+10>."""
    data = VxlanData(Mac.parse(mac or f"02:00:00:00:00:{number:02x}"), vni)
    v4, v6 = network.network is not None, network.network6 is not None
    public4 = IPv4Address(public or f"192.0.2.{number + 10}")
    record = LeaseRecord(
        public_ip=public4 if v4 else None,
        public_ip6=IPv6Address(f"2001:db8::{number + 10:x}") if v6 else None,
        backend_type="vxlan",
        backend_data=data if v4 else None,
        backend_data6=replace(data, mac=Mac(b"\x06" + data.mac.packed[1:])) if v6 else None,
        node_id=f"node-{number}" if node_id is None else node_id,
    )
    key = SubnetKey(
        IPv4Network(f"10.50.{number + 10}.0/24") if v4 else None,
        IPv6Network(f"fd50:0:0:{number + 10:x}::/64") if v6 else None,
    )
    created = revision or number + 1
    return Lease(key, record, 0 if reserved else 1000 + number, created, created)


def view(leases: Sequence[Lease], *, listings: int = 1, stale: bool = False, **more: object) -> LeaseView:
    by_key = MappingProxyType({str(one.key): one for one in leases})
    made = LeaseView(by_key, revision=1000, listings=listings, stale=stale)
    return replace(made, **more)  # type: ignore[arg-type]  # the caller names fields of LeaseView


def world(
    network: NetworkConfig = V4, *peers: Lease, facts: HostFacts = FACTS, own: Lease | None = None
) -> World:
    """All is well: our lease is confirmed, the leases were listed."""
    ours = own or lease(0, network)
    return World(POLICY, network, ours, True, view([ours, *peers]), facts)


def crowd(count: int, network: NetworkConfig = V4) -> World:
    """Our host and `count` peers."""
    return world(network, *(lease(number, network) for number in range(1, count + 1)))


def as_backend(name: str, one: World) -> World:
    """The same world in a network of another backend, of which all leases are."""
    assert one.network is not None
    assert one.own is not None
    leases = [of_backend(name, lease) for lease in one.view.leases.values()]
    return replace(
        one,
        network=replace(one.network, backend_type=name),
        own=of_backend(name, one.own),
        view=replace(one.view, leases=MappingProxyType({str(lease.key): lease for lease in leases})),
    )


def of_backend(name: str, lease: Lease) -> Lease:
    """The same lease as a host of that backend would write it; vxlan's is what `lease` makes."""
    if name == "vxlan":
        return lease
    says = "" if name in {"udp", "alloc"} else name
    record = replace(lease.record, backend_type=says, backend_data=None, backend_data6=None)
    return replace(lease, record=record)


def moved(one: HostFacts = FACTS, **underlay: object) -> HostFacts:
    assert one.underlay is not None
    return replace(one, underlay=replace(one.underlay, **underlay))  # type: ignore[arg-type]  # as above


def moving(before: World, after: World, *still: int) -> World:
    """On the way from one world to the other: the hosts with these numbers still advertise what they did before."""
    assert before.network is not None
    assert before.own is not None
    slow = {f"node-{number}" for number in still}
    leases = {
        key: lease if lease.record.node_id in slow else after.view.leases[key]
        for key, lease in before.view.leases.items()
    }
    return replace(
        after,
        view=replace(after.view, leases=MappingProxyType(leases)),
        former=Former(before.network, before.own.record),
    )


ROUTED = lease(3, public="198.51.100.3")
"""A peer beyond a router."""

DIRECT = options(V4, directrouting=True)

WORLDS: Mapping[str, World] = MappingProxyType(
    {
        "alone": world(),
        "one peer": world(V4, lease(1)),
        "three hosts": crowd(2),
        "ten hosts": crowd(9),
        "dual stack": crowd(2, DUAL),
        "dual-stack peer in a v4 network": world(V4, lease(1, DUAL)),
        "v6 only": crowd(2, V6),
        "DirectRouting, one on-link and one routed peer": world(DIRECT, lease(1), ROUTED),
        "without DirectRouting, the same peers": world(V4, lease(1), ROUTED),
        "lease written by flannel, without VNI": world(V4, lease(1, vni=None, node_id="")),
        "reservation in use": world(V4, lease(1, reserved=True), lease(2)),
        "peer MAC changed": world(V4, lease(1, mac="02:00:00:00:0f:01"), lease(2)),
        "peers swapped MACs": world(V4, lease(1, mac="02:00:00:00:00:02"), lease(2, mac="02:00:00:00:00:01")),
        "peer IP changed": world(V4, lease(1, public="192.0.2.99"), lease(2)),
        "two peers with one MAC": world(V4, lease(1), lease(2, mac="02:00:00:00:00:01")),
        "peer gone": world(V4, lease(2)),
        "peer outside the network": world(
            V4, lease(1), replace(lease(2), key=SubnetKey(IPv4Network("10.77.0.0/24")))
        ),
        "underlay MTU changed": world(V4, lease(1), lease(2), facts=moved(mtu=1400)),
        "underlay address changed": world(V4, lease(1), facts=moved(address=IPv4Address("192.0.2.77"))),
        "underlay link changed": world(V4, lease(1), facts=moved(link="eth1", index=3)),
        "public IP behind NAT": replace(
            world(V4, lease(1), own=lease(0, public="203.0.113.5")),
            policy=replace(POLICY, public_ip=IPv4Address("203.0.113.5")),
        ),
        "MTU option": crowd(1, options(V4, mtu=1300)),
        "GBP": crowd(1, options(V4, gbp=True)),
        "learning": crowd(1, options(V4, learning=True)),
        "other port": crowd(1, options(V4, port=4789)),
        "other VNI": crowd(1, options(V4, vni=7)),
        "own MAC changed": world(V4, lease(1), lease(2), own=lease(0, mac="02:00:00:00:aa:00")),
        "own subnet changed": world(
            V4, lease(1), own=replace(lease(0), key=SubnetKey(IPv4Network("10.50.200.0/24")))
        ),
        "host-gw": as_backend("host-gw", crowd(2)),
        "host-gw, dual stack": as_backend("host-gw", crowd(2, DUAL)),
        "host-gw, one peer behind a router": as_backend("host-gw", world(V4, lease(1), ROUTED)),
        "udp": as_backend("udp", crowd(2)),
        "ipip": as_backend("ipip", crowd(2)),
        "ipip, DirectRouting, one peer behind a router": as_backend("ipip", world(DIRECT, lease(1), ROUTED)),
        "moving from vxlan to ipip, one peer came along": moving(crowd(2), as_backend("ipip", crowd(2)), 2),
        "alloc": as_backend("alloc", crowd(2)),
        "moving from vxlan to host-gw, nobody came along": moving(
            crowd(2), as_backend("host-gw", crowd(2)), 1, 2
        ),
        "moving from vxlan to host-gw, one peer came along": moving(
            crowd(2), as_backend("host-gw", crowd(2)), 2
        ),
        "moving from host-gw to vxlan, one peer came along": moving(
            as_backend("host-gw", crowd(2)), crowd(2), 2
        ),
        "moving from udp to host-gw, one peer came along": moving(
            as_backend("udp", crowd(2)), as_backend("host-gw", crowd(2)), 2
        ),
        "moving from vxlan to udp, one peer came along": moving(crowd(2), as_backend("udp", crowd(2)), 2),
        "own lease from disk, unconfirmed": replace(crowd(2), own_confirmed=False),
        "stale view": replace(crowd(2), view=replace(crowd(2).view, stale=True)),
        "leases not listed": replace(crowd(2), view=LeaseView()),
        "no underlay": replace(crowd(2), facts=HostFacts(problem="no default route")),
        "no network": replace(crowd(2), network=None),
        "no lease": replace(crowd(2), own=None, own_confirmed=False),
    }
)

WAITING = frozenset({"no underlay", "no network", "no lease"})
"""Worlds in which nothing can be planned, so nothing is done."""

CLOSED = WAITING | {"own lease from disk, unconfirmed", "leases not listed"}
"""Worlds in which nothing may be deleted."""

OPEN = tuple(name for name in WORLDS if name not in CLOSED)

History = tuple[World, ...]


def _forward(worlds: Sequence[World]) -> History:
    return tuple(worlds)


def _reversed(worlds: Sequence[World]) -> History:
    return tuple(reversed(worlds))


def _with_empties(worlds: Sequence[World]) -> History:
    """Everybody leaves, and comes back, between any two."""
    return tuple(step for one in worlds for step in (replace(one, view=view([])), one))


def _with_blackouts(worlds: Sequence[World]) -> History:
    """The underlay is lost, and found, between any two."""
    return tuple(step for one in worlds for step in (replace(one, facts=HostFacts()), one))


def _with_restarts_offline(worlds: Sequence[World]) -> History:
    """etcd is away, and our lease known from disk only, between any two."""
    return tuple(
        step for one in worlds for step in (replace(one, own_confirmed=False, view=LeaseView()), one)
    )


def _squashed(worlds: Sequence[World]) -> History:
    """Only the last is seen: all news came at once."""
    return tuple(worlds[-1:])


def _repeated(worlds: Sequence[World]) -> History:
    return tuple(step for one in worlds for step in (one, one))


EXPANDERS: Mapping[str, Callable[[Sequence[World]], History]] = MappingProxyType(
    {
        "forward": _forward,
        "reversed": _reversed,
        "with empties": _with_empties,
        "with blackouts": _with_blackouts,
        "with restarts offline": _with_restarts_offline,
        "squashed": _squashed,
        "repeated": _repeated,
    }
)
