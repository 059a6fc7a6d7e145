"""The border of a host: no route of ours takes its ways to etcd, to its gateways, or to its underlay's neighbours."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flanpy.backend import choice
from flanpy.errors import ConfigError
from flanpy.model.address import IPNetwork
from flanpy.model.border import EtcdAddress
from flanpy.model.facts import HostFacts, HostRoute
from flanpy.model.lease import Lease, SubnetKey
from flanpy.model.network.config import parse_network_config
from flanpy.model.objects import KernelObject, Key, Route
from flanpy.model.ops import Delete
from flanpy.model.world import World
from flanpy.plan.admission import admit
from flanpy.plan.allowed import believed, refuse_outside
from flanpy.plan.border import guarded, held_by, wins
from flanpy.plan.decision import decide
from flanpy.plan.next_hop import RouteTable
from flanpy.plan.ownership import Observed
from flanpy.plan.readmission import admit_from
from flanpy.plan.refusal import Reason
from tests.states import FACTS, POLICY, UNDERLAY, V4, as_backend, lease, view, world

ETCD = EtcdAddress("http://etcd:2379", IPv4Address("10.200.0.5"))
WIDE = replace(
    V4,
    network=IPv4Network("10.0.0.0/8"),
    subnet_min=IPv4Address("10.10.0.0"),
    subnet_max=IPv4Address("10.99.0.0"),
)
"""flannel's documented example: the network contains the hosts, the bounds do not."""

IN_TEN = replace(
    FACTS,
    underlay=replace(UNDERLAY, address=IPv4Address("10.5.0.10"), address6=None),
    routes=(
        HostRoute(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("10.5.0.1")),
        HostRoute(IPv4Network("10.5.0.0/16"), "eth0", None),
        HostRoute(IPv4Network("10.6.0.0/16"), "eth0", IPv4Address("10.5.0.2")),
    ),
    addresses=frozenset({IPv4Address("10.5.0.10")}),
)


def at(subnet: str, number: int = 66, public: str = "10.5.0.66") -> Lease:
    made = lease(number, public=public, revision=500 + number)
    return replace(made, key=SubnetKey(IPv4Network(subnet)))


def here(*leases: Lease, facts: HostFacts = IN_TEN, **changes: object) -> World:
    ours = replace(at("10.50.10.0/24", 0, "10.5.0.10"), create_revision=1)
    seen = world(WIDE, *leases, facts=facts, own=ours)
    return replace(seen, etcd=(ETCD,), **changes)  # type: ignore[arg-type]  # the caller names fields of World


@pytest.mark.parametrize(
    ("subnet", "named"),
    [
        ("10.200.0.5/32", "10.200.0.5, the address of etcd's endpoint http://etcd:2379"),
        ("10.200.0.0/24", "the address of etcd's endpoint"),
        ("10.5.0.1/32", "network 10.5.0.0/16 of this host's underlay eth0"),
        ("10.5.7.0/24", "network 10.5.0.0/16 of this host's underlay eth0"),
    ],
)
def test_lease_that_would_take_a_way_of_the_host_is_refused_and_the_way_named(
    subnet: str, named: str
) -> None:
    admission = admit(here(at(subnet), at("10.60.1.0/24", 3, "10.5.0.13")))
    assert [str(peer.key) for peer in admission.peers] == ["10.60.1.0-24"]
    (refused,) = admission.rejected
    assert refused.reason is Reason.TAKES_WAY
    assert named in refused.message
    assert subnet in refused.message


def test_gateway_beyond_the_underlays_networks_is_guarded() -> None:
    """Clouds give a host a /32 and a gateway elsewhere."""
    far = HostRoute(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("10.77.0.1"))
    facts = replace(IN_TEN, routes=(far,))
    (refused,) = admit(here(at("10.77.0.0/24"), facts=facts)).rejected
    assert "10.77.0.1, this host's default gateway" in refused.message


def test_network_of_the_underlay_may_be_used_where_the_operator_says_so() -> None:
    """A flat 10.0.0.0/8 with the overlay in a part of it that nobody else has."""
    flat = HostRoute(IPv4Network("10.0.0.0/8"), "eth0", None)
    facts = replace(IN_TEN, routes=(IN_TEN.routes[0], flat))
    peer = at("10.60.1.0/24", 3, "10.5.0.13")
    meant = replace(POLICY, allowed_networks=(IPv4Network("10.60.0.0/16"),))
    assert admit(here(peer, facts=facts)).peers == ()
    assert admit(here(peer, facts=facts, policy=meant)).peers == (peer,)
    assert admit(here(at("10.61.1.0/24"), facts=facts, policy=meant)).peers == ()


def test_lease_is_judged_again_when_the_ways_change_and_heals_when_they_change_back() -> None:
    peer = at("10.77.0.0/24", 3, "10.5.0.13")
    moved = replace(
        IN_TEN, routes=(*IN_TEN.routes, HostRoute(ip_network("0.0.0.0/0"), "eth1", IPv4Address("10.77.0.1")))
    )
    judged = admit_from(None, here(peer))
    assert judged.admission.peers == (peer,)
    judged = admit_from(judged, here(peer, facts=moved))
    assert judged.admission.peers == ()
    judged = admit_from(judged, here(peer))
    assert judged.admission.peers == (peer,)
    elsewhere = EtcdAddress("http://etcd:2379", IPv4Address("10.77.0.9"))
    assert admit_from(judged, replace(here(peer), etcd=(elsewhere,))).admission.peers == ()


STOLEN = Route(IPv4Network("10.200.0.5/32"), "flannel.1", IPv4Address("10.200.0.5"), onlink=True)
KEPT = Route(IPv4Network("10.60.1.0/24"), "flannel.1", IPv4Address("10.60.1.0"), onlink=True)


@pytest.mark.parametrize("missing", ["network", "own", "listing", "confirmation"])
def test_route_from_before_a_restart_that_takes_the_way_to_etcd_goes_before_etcd_was_heard(
    missing: str,
) -> None:
    """No gate keeps it: behind every gate is an etcd that cannot be reached because of it."""
    seen = here(at("10.60.1.0/24", 3, "10.5.0.13"))
    changes = {
        "network": {"network": None},
        "own": {"own": None},
        "listing": {"view": replace(seen.view, leases={}, listings=0)},
        "confirmation": {"own_confirmed": False},
    }[missing]
    seen = replace(seen, **changes)  # type: ignore[arg-type]  # the dict names fields of World
    observed = Observed({route.key: route for route in (STOLEN, KEPT)})
    decision = decide(seen, choice.plan(seen, admit(seen).peers), observed)
    assert [op.obj for op in decision.ops if isinstance(op, Delete) and isinstance(op.obj, Route)] == [STOLEN]


def test_brake_keeps_peers_but_not_a_route_that_takes_the_way_to_etcd() -> None:
    seen = here()
    peers = [f"10.60.{number}.0" for number in range(30)]
    routes = [Route(IPv4Network(f"{one}/24"), "flannel.1", IPv4Address(one), onlink=True) for one in peers]
    many: dict[Key, KernelObject] = {route.key: route for route in routes}
    observed = Observed({**many, STOLEN.key: STOLEN})
    decision = decide(seen, choice.plan(seen, ()), observed)
    assert decision.hold is not None
    assert [op.obj for op in decision.ops if isinstance(op, Delete) and isinstance(op.obj, Route)] == [STOLEN]


def test_route_to_the_whole_network_gives_way_to_one_for_each_peer_when_it_would_take_a_way() -> None:
    peer = at("10.60.1.0/24", 3, "10.5.0.13")
    near = replace(here(peer), etcd=())
    for seen, wide in ((near, True), (here(peer), False), (here(at("10.60.1.0/24", 3, "10.9.0.1")), False)):
        udp = as_backend("udp", seen)
        desired = choice.plan(udp, admit(udp).peers) or {}
        routes = {str(obj.destination) for obj in desired.values() if isinstance(obj, Route)}
        assert routes == ({"10.0.0.0/8"} if wide else {"10.60.1.0/24"})


# The property that all of this is for.

_PARTS = st.sampled_from(
    ["10.5.0", "10.5.7", "10.6.1", "10.60.1", "10.77.0", "10.200.0", "192.168.7", "11.1.1"]
)
_HOSTS = st.sampled_from([1, 5, 66, 129])
_ADDRESSES = st.builds(lambda part, host: IPv4Address(f"{part}.{host}"), _PARTS, _HOSTS)
_RANGES = st.builds(
    lambda address, length: IPv4Network((int(address) >> (32 - length) << (32 - length), length)),
    _ADDRESSES,
    st.sampled_from([1, 8, 9, 15, 16, 20, 23, 24, 25, 30, 32]),
)


@st.composite
def _facts(draw: st.DrawFn) -> HostFacts:
    own, gateway = draw(_ADDRESSES), draw(_ADDRESSES)
    length = draw(st.sampled_from([16, 24, 32]))
    lan = ip_network((int(own) >> (32 - length) << (32 - length), length))
    routes = [HostRoute(lan, "eth0", None), HostRoute(IPv4Network("0.0.0.0/0"), "eth0", gateway)]
    routes += draw(st.lists(st.builds(HostRoute, _RANGES, st.just("eth0"), _ADDRESSES), max_size=3))
    underlay = replace(UNDERLAY, address=own, address6=None)
    return HostFacts(underlay, routes=tuple(routes), addresses=frozenset({own}))


@st.composite
def _worlds(draw: st.DrawFn) -> World:
    network = draw(_RANGES.filter(lambda range_: range_.prefixlen <= 20))
    text = f'{{"Network": "{network}", "SubnetLen": 24, "Backend": {{"Type": "vxlan"}}}}'
    peers = [
        replace(lease(n, public=str(draw(_ADDRESSES)), revision=50 + n), key=SubnetKey(draw(_RANGES)))
        for n in range(1, draw(st.integers(1, 6)))
    ]
    facts = draw(_facts())
    ours = replace(lease(0, public=str(facts.underlay.address)), key=SubnetKey(IPv4Network("10.60.200.0/24")))  # type: ignore[union-attr]
    etcd = tuple(EtcdAddress("http://e", address) for address in draw(st.lists(_ADDRESSES, max_size=2)))
    seen = world(parse_network_config(text), facts=facts, own=ours)
    seen = replace(seen, view=view([ours, *{one.key: one for one in peers}.values()]), etcd=etcd)
    return as_backend(draw(st.sampled_from(["vxlan", "udp", "host-gw", "ipip"])), seen)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(_worlds())
def test_no_route_of_ours_ever_wins_over_the_hosts_way(seen: World) -> None:
    """To an endpoint, a gateway, an underlay address of its own network, or a peer's underlay address."""
    peers = admit(seen).peers
    desired = choice.plan(seen, peers) or {}
    ours = [obj for obj in desired.values() if isinstance(obj, Route)]
    table = RouteTable.of(seen.facts.routes)
    assert seen.facts.underlay is not None
    lan = seen.facts.routes[0].destination
    needed = [one.address for one in seen.etcd]
    needed += [route.gateway for route in seen.facts.routes if route.gateway is not None]
    needed += [peer.record.public_ip for peer in peers if peer.record.public_ip is not None]
    needed += [lan[0], lan[-1]]
    for address in needed:
        hop = table.next_hop(address)
        for route in ours:
            if address in route.destination:
                assert hop is not None, (address, route)
                assert hop.destination.prefixlen > route.destination.prefixlen, (address, route)


@settings(deadline=None, max_examples=200)
@given(_worlds())
def test_what_is_wanted_is_never_what_is_torn_down_for_the_hosts_ways(seen: World) -> None:
    """Else one pass would put what the next takes away."""
    borders = guarded(seen)
    for obj in (choice.plan(seen, admit(seen).peers) or {}).values():
        assert not (isinstance(obj, Route) and wins(obj.destination, borders))


# Networks

DOCUMENTED = [
    "10.0.0.0/8",
    "10.5.0.0/16",
    "172.18.0.0/16",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "10.244.0.0/16",
]


@pytest.mark.parametrize("network", DOCUMENTED)
def test_documented_networks_need_no_setting(network: str) -> None:
    refuse_outside(parse_network_config(f'{{"Network": "{network}"}}'), ())


@pytest.mark.parametrize("network", ["0.0.0.0/1", "128.0.0.0/1", "96.0.0.0/3", "126.0.0.0/7", "0.0.0.0/8"])
def test_network_that_holds_half_the_world_is_not_even_believed_at_first_sight(network: str) -> None:
    config = parse_network_config(f'{{"Network": "{network}", "SubnetLen": 24}}')
    assert believed(config) == ()
    with pytest.raises(ConfigError, match="allowed-network"):
        refuse_outside(config, (), believed(config))
    refuse_outside(config, (ip_network(network),))


def test_first_config_is_believed_and_from_then_on_the_only_one_beside_private_ranges() -> None:
    first = believed(parse_network_config('{"Network": "11.7.0.0/16"}'))
    refuse_outside(parse_network_config('{"Network": "11.7.0.0/17"}'), (), first)
    with pytest.raises(ConfigError, match=r"11\.8\.0\.0/16.*11\.7\.0\.0/16 of its first config"):
        refuse_outside(parse_network_config('{"Network": "11.8.0.0/16"}'), (), first)


def test_word_of_the_operator_is_all_that_counts() -> None:
    allowed: tuple[IPNetwork, ...] = (ip_network("10.50.0.0/16"),)
    with pytest.raises(ConfigError, match=r"Network .* is 10\.0\.0\.0/8.*allowed-network is 10\.50\.0\.0/16"):
        refuse_outside(
            parse_network_config('{"Network": "10.0.0.0/8"}'), allowed, (ip_network("10.0.0.0/8"),)
        )


def test_own_subnet_is_judged_as_those_of_peers_are() -> None:
    borders = guarded(here())
    assert held_by(SubnetKey(IPv4Network("10.5.3.0/24")), borders) is not None
    assert held_by(SubnetKey(IPv4Network("10.60.3.0/24")), borders) is None
    assert ip_address("10.5.0.10") in {*IN_TEN.addresses}
