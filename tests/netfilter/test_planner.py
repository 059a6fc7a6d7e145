"""The rules that a world needs, in every flavour: golden texts, and the choice of the flavour."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from flanpy.model.address import Family
from flanpy.model.bridge import BRIDGE
from flanpy.model.encryption import Encryption
from flanpy.model.facts import HostRoute
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.ops import Put
from flanpy.model.packet_filter import (
    DockerRules,
    EncapsulationGuard,
    FilterChoice,
    FilterFacts,
    FilterJump,
    FilterPolicy,
    Flavour,
)
from flanpy.model.world import Former, World
from flanpy.plan.diff import diff, objects_by_key
from flanpy.plan.ownership import Observed
from flanpy.plan.packet_filter import choose
from flanpy.plan.render import render
from tests.model.test_named_networks import SHOP
from tests.netfilter.worlds import NEW, OLD, facts, filtered
from tests.states import V4, V6, as_backend, crowd, options

NFT, IPT, LEGACY = Flavour.NFT, Flavour.IPTABLES_NFT, Flavour.IPTABLES_LEGACY
MASQUERADE = FilterPolicy(masquerade=True)
STRANGERS = FilterPolicy(encapsulation=EncapsulationGuard.STRANGERS)


def with_network_mode(base: World) -> World:
    """A world whose host has the bridge of network mode."""
    route = HostRoute(V4.network, BRIDGE, None) if V4.network is not None else None
    assert route is not None
    return replace(base, facts=replace(base.facts, routes=(*base.facts.routes, route)))


def with_named(base: World, *, subnet6: str | None = None) -> World:
    """A world whose host is on a named network."""
    shop = replace(SHOP, subnet6=IPv6Network(subnet6)) if subnet6 else SHOP
    return replace(base, named=NamedView((Joined(shop, IPv4Network("10.96.3.0/24")),)))


def moving(to: str = "udp") -> World:
    """A world on its way from vxlan to another backend."""
    before, after = crowd(2), as_backend(to, crowd(2))
    assert before.network is not None
    assert before.own is not None
    return replace(after, former=Former(before.network, before.own.record))


def sealed_world() -> World:
    """A world of WireGuard whose host requires encryption; its underlay is outside the overlay."""
    base = as_backend("wireguard", crowd(2))
    return replace(base, policy=replace(base.policy, wireguard_key="a key", encryption=Encryption.REQUIRED))


CASES: dict[str, tuple[FilterFacts, World, FilterPolicy]] = {
    "no Docker": (facts(IPT), crowd(2), FilterPolicy()),
    "Docker 20.10 to 27": (facts(LEGACY, OLD), crowd(2), FilterPolicy()),
    "Docker 28": (facts(IPT, NEW), crowd(2), FilterPolicy()),
    "Docker 29 with nftables": (facts(NFT, DockerRules()), crowd(2), FilterPolicy()),
    "nftables, ip-masq": (facts(NFT), crowd(2), MASQUERADE),
    "iptables, ip-masq": (facts(IPT, OLD), crowd(2), MASQUERADE),
    "ip-masq, ports in order": (facts(IPT), crowd(2), replace(MASQUERADE, random_ports=False)),
    "no forward rules": (facts(IPT, NEW), crowd(2), FilterPolicy(forward=False)),
    "IPv6": (facts(IPT, NEW), crowd(2, V6), MASQUERADE),
    "IPv6, nftables": (facts(NFT), crowd(2, V6), MASQUERADE),
    "host-gw": (facts(IPT, OLD), as_backend("host-gw", crowd(2)), FilterPolicy()),
    "vxlan with DirectRouting": (facts(IPT, OLD), crowd(2, options(V4, directrouting=True)), FilterPolicy()),
    "udp": (facts(IPT, OLD), as_backend("udp", crowd(2)), FilterPolicy()),
    "ipip": (facts(IPT, OLD), as_backend("ipip", crowd(2)), FilterPolicy()),
    "ipip, iptables-legacy": (facts(LEGACY, OLD), as_backend("ipip", crowd(2)), FilterPolicy()),
    "ipip, strangers, nftables": (facts(NFT), as_backend("ipip", crowd(2)), STRANGERS),
    "from vxlan to ipip": (facts(IPT), moving("ipip"), FilterPolicy()),
    "from vxlan to ipip, iptables-legacy": (facts(LEGACY), moving("ipip"), FilterPolicy()),
    "alloc": (facts(IPT, OLD), as_backend("alloc", crowd(2)), FilterPolicy()),
    "strangers, nftables, IPv6": (facts(NFT), crowd(2, V6), STRANGERS),
    "strangers, udp": (facts(IPT), as_backend("udp", crowd(2)), STRANGERS),
    "strangers, iptables-legacy on another port": (
        facts(LEGACY),
        crowd(2, options(V4, port=4789)),
        STRANGERS,
    ),
    "from vxlan to udp": (facts(IPT), moving(), FilterPolicy()),
    "from vxlan to udp, iptables-legacy": (facts(LEGACY), moving(), FilterPolicy()),
    "network mode": (facts(IPT, NEW), with_network_mode(crowd(2)), FilterPolicy()),
    "network mode, nftables": (facts(NFT, DockerRules()), with_network_mode(crowd(2)), FilterPolicy()),
    "network mode, iptables-legacy": (facts(LEGACY, NEW), with_network_mode(crowd(2)), FilterPolicy()),
    "host-gw, iptables-legacy": (facts(LEGACY, OLD), as_backend("host-gw", crowd(2)), FilterPolicy()),
    "vxlan with DirectRouting, iptables-legacy": (
        facts(LEGACY, OLD),
        crowd(2, options(V4, directrouting=True)),
        FilterPolicy(),
    ),
    "nftables, nobody masquerades": (facts(NFT), crowd(2), FilterPolicy()),
    "nftables, others have rules": (
        replace(facts(NFT), foreign=frozenset({Family.IPV4})),
        crowd(2),
        FilterPolicy(),
    ),
    "named networks": (facts(IPT, OLD), with_named(crowd(2)), FilterPolicy()),
    "named networks, nftables": (facts(NFT), with_named(crowd(2)), FilterPolicy()),
    "named networks, iptables-legacy": (facts(LEGACY, OLD), with_named(crowd(2)), FilterPolicy()),
    "named networks with IPv6": (
        facts(IPT, OLD),
        with_named(crowd(2), subnet6="fd00:96::/64"),
        FilterPolicy(encapsulation=EncapsulationGuard.CONTAINERS),
    ),
    "named networks with IPv6, iptables-legacy": (
        facts(LEGACY, OLD),
        with_named(crowd(2), subnet6="fd00:96::/64"),
        FilterPolicy(),
    ),
    "encryption required": (facts(IPT, OLD), sealed_world(), FilterPolicy()),
    "encryption required, iptables-legacy": (facts(LEGACY, OLD), sealed_world(), FilterPolicy()),
    "encapsulation guard off": (facts(IPT), crowd(2), FilterPolicy(encapsulation=EncapsulationGuard.OFF)),
}


def _lines(case: tuple[FilterFacts, World, FilterPolicy]) -> list[str]:
    wanted = objects_by_key(filtered(*case))
    return [step for op in diff(wanted, Observed()).ops for step in render(op).split(" && ")]


def _golden() -> dict[str, list[str]]:
    text = Path(__file__).with_name("golden.txt").read_text()
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    return {lines[0].removeprefix("# "): lines[1:] for lines in blocks}


def test_golden_text_has_every_case() -> None:
    assert list(_golden()) == list(CASES)


@pytest.mark.parametrize("title", CASES)
def test_p02_p08_p09_rules_are_the_golden_ones(title: str) -> None:
    assert _lines(CASES[title]) == _golden()[title]


@pytest.mark.parametrize("title", CASES)
def test_no_rule_ever_changes_a_policy_or_names_a_chain_that_is_not_ours(title: str) -> None:
    for line in _lines(CASES[title]):
        assert " -P " not in line
        assert "policy drop" not in line
        assert "FLANPY" in line or "flanpy" in line


def test_chains_stand_before_jumps_and_go_after_them() -> None:
    wanted = objects_by_key(filtered(facts(IPT, NEW)))
    puts = [op.obj.phase for op in diff(wanted, Observed()).ops]
    deletes = [op.obj.phase for op in diff({}, Observed({**wanted})).ops]
    assert puts == sorted(puts)
    assert deletes == sorted(deletes, reverse=True)


def test_jump_moves_to_docker_user_once_forward_goes_through_it() -> None:
    before = objects_by_key(filtered(facts(IPT)))
    ops = diff(objects_by_key(filtered(facts(IPT, OLD))), Observed({**before})).ops
    assert [render(op) for op in ops] == [
        "iptables-nft -w -t filter -I DOCKER-USER 1 -j FLANPY-FORWARD",
        "iptables-nft -w -t filter -D FORWARD -j FLANPY-FORWARD",
    ]


def test_jump_that_is_no_longer_first_is_put_first() -> None:
    wanted = objects_by_key(filtered(facts(IPT)))
    jump = next(obj for obj in wanted.values() if isinstance(obj, FilterJump) and obj.table == "filter")
    stands = {**wanted, jump.key: replace(jump, places=(2, 5))}
    (op,) = diff(wanted, Observed(stands)).ops
    assert isinstance(op, Put)
    assert render(op).split(" && ") == [
        "iptables-nft -w -t filter -D FORWARD -j FLANPY-FORWARD",
        "iptables-nft -w -t filter -D FORWARD -j FLANPY-FORWARD",
        "iptables-nft -w -t filter -I FORWARD 1 -j FLANPY-FORWARD",
    ]


ALL = frozenset(Flavour)


def _docker(*flavours: Flavour) -> frozenset[tuple[Flavour, Family, DockerRules]]:
    return frozenset((flavour, Family.IPV4, OLD) for flavour in flavours)


@pytest.mark.parametrize(
    ("setting", "nftables", "seen", "chosen"),
    [
        (FilterChoice.AUTO, False, FilterFacts(ALL, IPT), IPT),
        (FilterChoice.AUTO, False, FilterFacts(ALL, LEGACY), LEGACY),
        (FilterChoice.AUTO, False, FilterFacts(ALL, IPT, _docker(LEGACY)), LEGACY),
        (FilterChoice.AUTO, False, FilterFacts(ALL, LEGACY, _docker(IPT)), IPT),
        (FilterChoice.AUTO, False, FilterFacts(ALL, LEGACY, _docker(IPT, LEGACY)), LEGACY),
        (FilterChoice.AUTO, False, FilterFacts(ALL, IPT, _docker(NFT)), NFT),
        (FilterChoice.AUTO, False, FilterFacts(ALL, None, _docker(IPT, NFT)), IPT),
        (FilterChoice.AUTO, True, FilterFacts(ALL, IPT), NFT),
        (FilterChoice.AUTO, True, FilterFacts(ALL, IPT, _docker(IPT)), IPT),
        (FilterChoice.AUTO, False, FilterFacts(frozenset({NFT}), None), NFT),
        (FilterChoice.AUTO, False, FilterFacts(), None),
        (FilterChoice.AUTO, False, FilterFacts(frozenset({IPT}), IPT, _docker(NFT)), IPT),
        (FilterChoice.IPTABLES_LEGACY, False, FilterFacts(ALL, IPT, _docker(IPT)), LEGACY),
        (FilterChoice.NFT, False, FilterFacts(ALL, IPT, _docker(IPT)), NFT),
        (FilterChoice.NFT, False, FilterFacts(frozenset({IPT}), IPT), None),
        (FilterChoice.OFF, True, FilterFacts(ALL, IPT, _docker(IPT)), None),
    ],
)
def test_flavour_is_the_operators_else_dockers_else_the_networks_else_the_systems(
    setting: FilterChoice, nftables: bool, seen: FilterFacts, chosen: Flavour | None
) -> None:
    network = replace(V4, enable_nftables=nftables)
    assert choose(FilterPolicy(setting), network, seen) is chosen


def test_nothing_is_planned_before_the_filters_were_looked_at() -> None:
    assert filtered(FilterFacts()) == ()
