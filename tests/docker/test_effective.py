"""The settings of Docker that decide about ours: its flags and file, and address pools that meet the overlay."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from flanpy.docker.dockerd import Started, refuse_outside
from flanpy.docker.effective import by_flags, goal, names_unasked, pools_within, waits_for_forwarding
from flanpy.errors import DockerConflict
from tests.docker.values import WANTED

UNIT = "/etc/systemd/system/docker.service.d/x.conf"
OURS = replace(WANTED, masquerade=False)
OVERLAY = IPv4Network("10.50.0.0/16")


@pytest.mark.parametrize(
    ("settings", "flags", "wanted", "keeps", "word"),
    [
        ({}, [], WANTED, False, ""),
        ({"ip-masq": False}, [], WANTED, False, ""),
        ({"iptables": False}, [], WANTED, True, "reach nothing outside"),
        ({"iptables": False}, [], OURS, True, "flanpyd masquerades"),
        ({}, ["--iptables=false"], WANTED, True, UNIT),
        ({"iptables": False}, ["--iptables=true"], WANTED, False, ""),
        ({}, ["--ip-masq=false"], OURS, True, ""),
        ({}, ["--ip-masq=false"], WANTED, True, "reach nothing outside"),
        ({}, ["--ip-masq"], WANTED, True, ""),
        ({}, ["--ip-masq=true"], OURS, True, "peers see this host's address"),
    ],
)
def test_masquerading_is_asked_for_only_where_docker_can_be_asked(
    settings: dict[str, Any], flags: list[str], wanted: Any, word: str, *, keeps: bool
) -> None:
    found = goal(settings, flags, UNIT, wanted)
    assert found.keep_masquerade is keeps
    assert word in "".join(found.notes)
    assert bool(found.notes) is bool(word)


def test_flags_are_read_in_both_forms() -> None:
    flags = ["-H", "fd://", "--fixed-cidr", "10.50.7.0/25", "--default-gateway=10.50.7.9", "--iptables=0"]
    assert by_flags(flags) == {
        "fixed-cidr": "10.50.7.0/25",
        "default-gateway": "10.50.7.9",
        "iptables": False,
    }


@pytest.mark.parametrize("flags", [("--fixed-cidr", "172.17.0.0/25"), ("--default-gateway=172.17.0.9",)])
def test_flag_outside_our_subnet_is_refused_by_its_place(flags: tuple[str, ...]) -> None:
    with pytest.raises(DockerConflict, match=UNIT):
        refuse_outside(Started(("dockerd", *flags), UNIT), WANTED.subnet)
    refuse_outside(Started(("dockerd", "--fixed-cidr", "10.50.7.0/25"), UNIT), WANTED.subnet)


@pytest.mark.parametrize(
    ("settings", "flags", "count"),
    [
        ({}, [], 0),
        ({"default-address-pools": [{"base": "10.0.0.0/8", "size": 24}, {"base": "192.168.9.0/24"}]}, [], 1),
        ({"default-address-pools": "10.50.0.0/16"}, [], 0),
        ({"default-address-pools": [7, {"base": "nonsense"}, {}]}, [], 0),
        ({}, ["--default-address-pool", "base=10.50.64.0/18,size=24"], 1),
        ({}, ["--default-address-pool=base=10.51.0.0/16,size=24"], 0),
    ],
)
def test_pools_that_meet_the_overlay_are_named(
    settings: dict[str, Any], flags: list[str], count: int
) -> None:
    assert len(pools_within(settings, flags, OVERLAY)) == count


def test_dockers_usual_pools_are_named_where_nobody_chose_any() -> None:
    (said,) = pools_within({}, [], IPv4Network("172.20.0.0/16"))
    assert "172.20.0.0/16" in said
    assert (
        pools_within({"default-address-pools": [{"base": "10.99.0.0/16"}]}, [], IPv4Network("172.20.0.0/16"))
        == ()
    )


@pytest.mark.parametrize(
    ("settings", "flags", "asks"),
    [
        ({}, [], False),
        ({"dns": ["192.0.2.1"]}, ["--dns=192.0.2.2"], False),
        ({"dns": "169.254.53.53"}, ["--dns-search", "169.254.53.53"], False),
        ({"dns": ["192.0.2.1", "169.254.53.53"]}, [], True),
        ({}, ["--dns", "192.0.2.1", "--dns", "169.254.53.53"], True),
        ({}, ["--dns=169.254.53.53"], True),
    ],
)
def test_resolver_that_no_container_asks_is_told_of(
    settings: dict[str, Any], flags: list[str], asks: bool
) -> None:
    said = names_unasked(settings, flags, "169.254.53.53")
    assert (said == ()) is asks


@pytest.mark.parametrize(
    ("settings", "flags", "waits"),
    [
        ({}, [], False),
        ({"firewall-backend": "iptables"}, [], False),
        ({"firewall-backend": "nftables"}, [], True),
        ({"firewall-backend": "nftables", "ip-forward": False}, [], False),
        ({}, ["--firewall-backend=nftables"], True),
        ({}, ["--firewall-backend", "nftables", "--ip-forward=false"], False),
    ],
)
def test_docker_waits_for_forwarding_only_with_its_nftables_backend(
    settings: dict[str, Any], flags: list[str], *, waits: bool
) -> None:
    assert waits_for_forwarding(settings, flags) is waits
