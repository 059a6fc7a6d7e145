"""Network mode: which options on which version, and what is done about a network that is there already."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest

from flanpy.docker.facts import MTU_OPTION, OWNER_LABEL, DockerFacts, network
from flanpy.docker.network import NetworkStep, Recipe, plan_network, recipe
from flanpy.docker.wanted import Wanted, wanted
from flanpy.errors import DockerError
from flanpy.model.bridge import BRIDGE
from tests.docker.values import OPTION, WANTED, bridge, running

BASE = {MTU_OPTION: "1450", f"{OPTION}name": "flanpy0", f"{OPTION}enable_ip_masquerade": "false"}
MODE4, MODE6 = f"{OPTION}gateway_mode_ipv4", f"{OPTION}gateway_mode_ipv6"
DUAL = replace(WANTED, subnet6=IPv6Network("fd50:1:0:7::/64"))


def made(of: Recipe, **more: Any) -> Any:
    """The network as Docker would give it back."""
    document: dict[str, Any] = {
        "Name": of.name,
        "Id": "e" * 64,
        "Options": dict(of.options),
        "Labels": dict(of.labels),
        "IPAM": {"Config": [{"Subnet": subnet, "Gateway": gateway} for subnet, gateway in of.pools]},
    }
    return network({**document, **more})


@pytest.mark.parametrize(
    ("asked", "engine", "extra"),
    [
        (WANTED, "20.10.24", {}),
        (WANTED, "27.5.1", {}),
        (WANTED, "28.0.0", {MODE4: "nat-unprotected"}),
        (WANTED, "29.1.2", {MODE4: "nat-unprotected"}),
        (DUAL, "27.5.1", {}),
        (DUAL, "28.3.0", {MODE4: "nat-unprotected", MODE6: "nat-unprotected"}),
    ],
)
def test_p01_recipe_opens_the_network_where_docker_would_drop_us(
    asked: Wanted, engine: str, extra: dict[str, str]
) -> None:
    assert dict(recipe(asked, running(engine)).options) == {**BASE, **extra}


def test_recipe_has_our_subnet_gateway_bridge_and_mark() -> None:
    found = recipe(DUAL, running())
    assert found.pools == (("10.50.7.0/24", "10.50.7.1"), ("fd50:1:0:7::/64", "fd50:1:0:7::1"))
    assert dict(found.options)[f"{OPTION}name"] == BRIDGE
    assert (found.name, dict(found.labels)) == ("flanpy", {OWNER_LABEL: "1"})


def _docker(own: Any, engine: str = "20.10.24") -> DockerFacts:
    return running(engine, own=own, default=bridge("172.17.0.0/16"))


RIGHT = recipe(WANTED, running())


def test_network_that_is_right_is_kept_even_if_containers_have_it() -> None:
    for asked, engine in ((WANTED, "20.10.24"), (WANTED, "28.5.2"), (DUAL, "28.5.2")):
        facts = _docker(None, engine)
        right = replace(facts, own=made(recipe(asked, facts)))
        assert plan_network(asked, right, ("web",)).step is NetworkStep.KEEP
        assert plan_network(asked, facts, ()).step is NetworkStep.CREATE


@pytest.mark.parametrize(
    ("asked", "engine", "said"),
    [
        (replace(WANTED, mtu=1400), "20.10.24", "mtu 1450, needs 1400"),
        (replace(WANTED, subnet=IPv4Network("10.50.8.0/24")), "20.10.24", "subnet 10.50.7.0/24, needs 10.50.8.0/24"),
        (WANTED, "28.0.1", "gateway_mode_ipv4 not set, needs nat-unprotected"),
        (DUAL, "20.10.24", "IPv6 none"),
    ],
)  # fmt: skip
def test_network_that_is_wrong_is_made_anew_only_if_no_container_has_it(
    asked: Wanted, engine: str, said: str
) -> None:
    facts = _docker(made(RIGHT), engine)
    unused, used = plan_network(asked, facts, ()), plan_network(asked, facts, ("web", "job"))
    assert (unused.step, used.step, used.holders) == (NetworkStep.RECREATE, NetworkStep.HELD, ("web", "job"))
    assert any(said in line for line in used.differences)


def test_network_with_another_gateway_is_made_anew() -> None:
    (pool,) = RIGHT.pools
    other = made(RIGHT, IPAM={"Config": [{"Subnet": pool[0], "Gateway": "10.50.7.254"}]})
    found = plan_network(WANTED, _docker(other), ())
    assert found.step is NetworkStep.RECREATE
    assert found.differences == ("gateway 10.50.7.254, needs 10.50.7.1",)


def test_network_of_somebody_else_is_never_touched() -> None:
    assert plan_network(WANTED, _docker(made(RIGHT, Labels={})), ()).step is NetworkStep.TAKEN


def test_plan_says_who_masquerades_and_when_docker0_is_in_the_way() -> None:
    taken = running(default=bridge())
    notes = plan_network(WANTED, taken, ()).notes
    assert any("ip-masq" in note for note in notes)
    assert any("docker0 has 10.50.7.0/24" in note for note in notes)
    kept = plan_network(WANTED, replace(taken, own=made(RIGHT)), ())
    assert (kept.step, kept.notes) == (NetworkStep.KEEP, notes)
    quiet = replace(WANTED, masquerade=False)
    for default in (bridge("172.17.0.0/16"), bridge(subnet=None), None):
        assert plan_network(quiet, running(default=default), ()).notes == ()


def test_wanted_refuses_what_docker_cannot_be_told() -> None:
    with pytest.raises(DockerError, match="no IPv4"):
        wanted(None, None, 1450, ipmasq=False, subnet6=DUAL.subnet6)
    with pytest.raises(DockerError, match="FLANNEL_MTU=0"):
        wanted(WANTED.network, WANTED.subnet, 0, ipmasq=False)
    for network4, subnet in ((None, WANTED.subnet), (WANTED.network, None)):
        with pytest.raises(DockerError, match="no IPv4"):
            wanted(network4, subnet, 1450, ipmasq=False)
    with pytest.raises(DockerError, match="FLANNEL_MTU=67"):
        wanted(WANTED.network, WANTED.subnet, 67, ipmasq=False)
    assert wanted(WANTED.network, WANTED.subnet, 68, ipmasq=False).mtu == 68
    assert wanted(WANTED.network, WANTED.subnet, 1450, ipmasq=False) == WANTED
    assert wanted(WANTED.network, WANTED.subnet, 1450, ipmasq=False, subnet6=DUAL.subnet6) == DUAL
