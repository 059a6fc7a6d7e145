"""The choice of the underlay link, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from flanpy.kernel.host import kernel_release
from flanpy.kernel.underlay import HostLink, HostPicture, UnderlayChoice, beneath, choose
from flanpy.model.address import IPAddress
from flanpy.model.facts import HostRoute, Underlay

LO = HostLink(1, "lo", 65536, loopback=True, addresses=(ip_address("127.0.0.1"), ip_address("::1")))
ETH0 = HostLink(2, "eth0", 1500, addresses=(ip_address("192.0.2.10"), ip_address("2001:db8::10")))
ETH1 = HostLink(3, "eth1", 9000, addresses=(ip_address("198.51.100.10"),))
DOCKER = HostLink(4, "docker0", 1500, addresses=(ip_address("172.17.0.1"),))
OVERLAY = HostLink(5, "flannel.1", 1450, alias="flanpy", addresses=(ip_address("10.50.1.0"),))
LINKS = (LO, ETH0, ETH1, DOCKER, OVERLAY)


def default(link: str, metric: int = 0, *, version: int = 4) -> HostRoute:
    everywhere = ip_network("0.0.0.0/0" if version == 4 else "::/0")
    gateway = ip_address("192.0.2.1" if version == 4 else "fe80::1")
    return HostRoute(everywhere, link, gateway, metric)


def picture(
    *routes: HostRoute, links: tuple[HostLink, ...] = LINKS, reached: str | None = None
) -> HostPicture:
    return HostPicture(links, routes, reached)


def chosen(choice: UnderlayChoice, of: HostPicture) -> Underlay:
    found = choose(choice, of)
    assert isinstance(found, Underlay), found
    return found


def refused(choice: UnderlayChoice, of: HostPicture) -> str:
    found = choose(choice, of)
    assert isinstance(found, str), found
    assert "\n" not in found
    return found


ANY = UnderlayChoice()


def test_the_default_route_decides_when_nothing_is_asked_for() -> None:
    assert chosen(ANY, picture(default("eth1"))) == Underlay(
        "eth1", 3, 9000, IPv4Address("198.51.100.10"), None, "eth1: default route"
    )


def test_both_families_addresses_are_taken_from_the_link() -> None:
    found = chosen(ANY, picture(default("eth0")))
    assert (found.address, found.address6) == (IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10"))


def test_p21_the_default_route_with_the_lowest_metric_wins_of_two_nics() -> None:
    found = chosen(ANY, picture(default("eth1", 200), default("eth0", 100)))
    assert (found.link, found.reason) == ("eth0", "eth0: default route, metric 100")


def test_p21_an_equal_cost_default_takes_the_first_and_says_so() -> None:
    found = chosen(ANY, picture(default("eth1"), default("eth0")))
    assert (found.link, found.reason) == ("eth1", "eth1: first of the equal default routes by eth1, eth0")


def test_p21_an_ipv6_default_serves_when_there_is_no_ipv4_one() -> None:
    assert chosen(ANY, picture(default("eth0", 1024, version=6))).link == "eth0"


def test_p21_no_default_route_is_told_with_its_cure() -> None:
    assert refused(ANY, picture()).startswith("there is no default route: set iface")


@pytest.mark.parametrize("link", ["docker0", "flannel.1"])
def test_p21_overlay_and_docker_links_are_never_taken_by_default(link: str) -> None:
    found = chosen(ANY, picture(default(link), default("eth0", 100)))
    assert found.link == "eth0"
    assert f"not default route goes by {link}" in found.reason


def test_p21_a_named_link_that_is_absent_is_waited_for() -> None:
    said = refused(UnderlayChoice(iface=("eth9",)), picture(default("eth0")))
    assert said == "iface eth9: no such link"


def test_p21_an_address_that_is_not_on_this_host_is_waited_for() -> None:
    said = refused(UnderlayChoice(iface=("203.0.113.1",)), picture(default("eth0")))
    assert said == "iface 203.0.113.1: no link of this host has that address"


def test_iface_by_address_takes_its_owner_and_that_address() -> None:
    second = replace(ETH1, addresses=(ip_address("198.51.100.10"), ip_address("198.51.100.11")))
    found = chosen(
        UnderlayChoice(iface=("198.51.100.11",)), picture(default("eth0"), links=(LO, ETH0, second))
    )
    assert (found.link, found.address) == ("eth1", IPv4Address("198.51.100.11"))


def test_iface_values_are_tried_in_order() -> None:
    found = chosen(UnderlayChoice(iface=("eth9", "eth1", "eth0")), picture(default("eth0")))
    assert (found.link, found.reason) == ("eth1", "eth1: iface eth1; not iface eth9: no such link")


def test_iface_comes_before_regex_and_regex_before_can_reach() -> None:
    all_three = UnderlayChoice(iface=("eth9",), iface_regex=("^eth1$",), can_reach=IPv4Address("192.0.2.99"))
    assert chosen(all_three, picture(reached="eth0")).link == "eth1"
    assert chosen(replace(all_three, iface=("eth0",)), picture(reached="eth1")).link == "eth0"
    assert chosen(replace(all_three, iface_regex=("^x",)), picture(reached="eth0")).link == "eth0"


def test_regex_is_matched_against_addresses_before_names() -> None:
    found = chosen(UnderlayChoice(iface_regex=(r"^198\.51|eth0",)), picture())
    assert (found.link, found.address) == ("eth1", IPv4Address("198.51.100.10"))


def test_p21_regex_never_takes_overlay_docker_or_loopback_links() -> None:
    assert chosen(UnderlayChoice(iface_regex=(".",)), picture()).link == "eth0"
    assert "matches no link" in refused(UnderlayChoice(iface_regex=("docker|flannel|lo",)), picture())


def test_can_reach_without_a_route_is_told() -> None:
    said = refused(UnderlayChoice(can_reach=IPv4Address("192.0.2.99")), picture())
    assert said == "iface-can-reach 192.0.2.99: no route to it"


@pytest.mark.parametrize(
    ("value", "links", "reason"),
    [
        ("lo", LINKS, "lo is a loopback link"),
        ("flannel.1", LINKS, "flannel.1 is an overlay link"),
        ("eth0", (replace(ETH0, up=False),), "eth0 is down"),
        ("eth0", (replace(ETH0, addresses=()),), "eth0 has no address that peers could reach"),
        ("eth0", (replace(ETH0, addresses=(ip_address("fe80::1"),)),), "eth0 has no address"),
        (
            "169.254.1.1",
            (replace(ETH0, addresses=(ip_address("169.254.1.1"),)),),
            "is link-local or loopback",
        ),
    ],
)
def test_p21_unusable_links_are_refused_by_name_and_reason(
    value: str, links: tuple[HostLink, ...], reason: str
) -> None:
    assert reason in refused(UnderlayChoice(iface=(value,)), picture(default("eth1"), links=links))


def test_a_bridge_of_docker_serves_when_the_operator_names_it() -> None:
    assert chosen(UnderlayChoice(iface=("docker0",)), picture()).link == "docker0"


def test_frames_leave_by_the_links_beneath_a_vlan_on_a_bond_in_a_bridge() -> None:
    bridge = HostLink(10, "br0", 1500)
    vlan = HostLink(11, "bond0.7", 1500, lower=12, master=10)
    bond = HostLink(12, "bond0", 1500)
    slaves = [HostLink(13, "ens1", 1500, master=12), HostLink(14, "ens2", 1500, master=12)]
    every = (ETH0, bridge, vlan, bond, *slaves)
    assert [link.name for link in beneath(10, every)] == ["br0", "bond0.7", "bond0", "ens1", "ens2"]
    assert [link.name for link in beneath(2, every)] == ["eth0"]


def test_two_ends_of_a_veth_do_not_lead_round_and_round() -> None:
    pair = (HostLink(20, "a", 1500, lower=21), HostLink(21, "b", 1500, lower=20))
    assert [link.name for link in beneath(20, pair)] == ["a", "b"]


@pytest.mark.parametrize(
    ("release", "kernel"),
    [
        ("5.4.0-216-generic", (5, 4)),
        ("6.1.0-rc1+", (6, 1)),
        ("4.18.0-553.el8_10.x86_64", (4, 18)),
        ("odd", None),
    ],
)
def test_kernel_release_is_read(release: str, kernel: tuple[int, int] | None) -> None:
    assert kernel_release(release) == kernel


VIP, OTHER = ip_address("192.0.2.200"), ip_address("192.0.2.11")
ON_LO = ip_address("203.0.113.7")
WITH_VIP = replace(ETH0, addresses=(*ETH0.addresses, OTHER, VIP), lesser=frozenset({VIP}))


@pytest.mark.parametrize(
    ("kept", "claimed", "wanted"),
    [
        ((), (), "192.0.2.10"),
        ((OTHER,), (), "192.0.2.11"),
        ((VIP,), (), "192.0.2.10"),
        ((), (ETH0.addresses[0],), "192.0.2.11"),
        ((ETH0.addresses[0],), (ETH0.addresses[0],), "192.0.2.11"),
        ((), (*ETH0.addresses, OTHER), "192.0.2.10"),
    ],
)
def test_of_several_own_addresses_the_advertised_one_stays_and_a_virtual_one_is_last(
    kept: tuple[IPAddress, ...], claimed: tuple[IPAddress, ...], wanted: str
) -> None:
    links = (LO, WITH_VIP, ETH1)
    of = replace(picture(default("eth0"), links=links), kept=frozenset(kept), claimed=frozenset(claimed))
    assert str(chosen(ANY, of).address) == wanted


def test_virtual_address_serves_where_it_is_the_only_one_or_asked_for() -> None:
    only = replace(ETH0, addresses=(VIP,), lesser=frozenset({VIP}))
    assert chosen(ANY, picture(default("eth0"), links=(LO, only))).address == VIP
    asked = UnderlayChoice(iface=(str(VIP),))
    assert chosen(asked, picture(default("eth0"), links=(LO, WITH_VIP))).address == VIP


def test_public_ip_of_this_host_is_the_local_end_and_says_which_link() -> None:
    on_eth1 = UnderlayChoice(public=(ETH1.addresses[0],))
    found = chosen(on_eth1, picture(default("eth0")))
    assert (found.link, found.address) == ("eth1", ETH1.addresses[0])
    named = chosen(replace(on_eth1, iface=("eth0",)), picture(default("eth0")))
    assert (named.link, named.address, named.address6) == ("eth0", ETH1.addresses[0], ETH0.addresses[1])
    nat = chosen(UnderlayChoice(public=(ON_LO,)), picture(default("eth0")))
    assert (nat.link, nat.address) == ("eth0", ETH0.addresses[0]), "behind NAT no link has it"


def test_address_on_lo_is_the_local_end_by_public_ip_and_by_iface() -> None:
    links = (replace(LO, addresses=(*LO.addresses, ON_LO), lesser=frozenset({ON_LO})), ETH0)
    bare = (links[0], replace(ETH0, addresses=(ip_address("fe80::1"),)))
    for choice in (UnderlayChoice(public=(ON_LO,)), UnderlayChoice(iface=(str(ON_LO),))):
        found = chosen(choice, picture(default("eth0"), links=links))
        assert (found.link, found.address, found.address6) == ("eth0", ON_LO, ETH0.addresses[1])
    asked = UnderlayChoice(iface=(str(ON_LO),))
    assert chosen(asked, picture(default("eth0"), links=bare)).address == ON_LO, "BGP unnumbered"
    assert "no default route whose link" in refused(asked, picture(links=links))
    assert "is a loopback link" in refused(UnderlayChoice(iface=("127.0.0.1",)), picture(default("eth0")))
