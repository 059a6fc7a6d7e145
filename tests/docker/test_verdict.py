"""DockerConsistent: every reason, from what Docker runs and what the overlay asks."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.docker.facts import Version, facts, network, version
from flanpy.docker.verdict import (
    DockerLook,
    DockerStandard,
    Mode,
    Silence,
    Silent,
    judge,
    judged_network,
    needs_accepts,
)
from flanpy.errors import DockerError
from flanpy.model.condition import Status
from tests.docker.values import BIP, OPTION, WANTED, bridge, running

T, F, U = Status.TRUE, Status.FALSE, Status.UNKNOWN
ASKED = DockerStandard(mode=Mode.AUTO, wanted=WANTED)
BY_BIP, BY_NETWORK = replace(ASKED, mode=Mode.BIP), replace(ASKED, mode=Mode.NETWORK)
OPEN = ((f"{OPTION}gateway_mode_ipv4", "nat-unprotected"),)
OTHER = bridge("172.17.0.0/16", mtu=1500)


def own(**more: Any) -> Any:
    return bridge(name="flanpy", bridge="flanpy0", masquerade=False, ours=True, **more)


def look(found: Any = None, **more: Any) -> DockerLook:
    return DockerLook(found=running() if found is None else found, **more)


CASES = [
    (None, ASKED, U, "NotRead", ""),
    (look(), replace(ASKED, mode=Mode.OFF), U, "NotWatched", ""),
    (look(), replace(ASKED, wanted=None), U, "NoSubnet", ""),
    (look(Silent(Silence.NOT_RUNNING, "no Docker listens")), ASKED, U, "NotRunning", ""),
    (look(Silent(Silence.FORBIDDEN, "no permission")), ASKED, U, "SocketForbidden", ""),
    (look(Silent(Silence.HUNG, "no answer in 5 s")), BY_BIP, U, "Hung", ""),
    (look(Silent(Silence.ELSEWHERE, "another namespace")), ASKED, U, "AnotherNetwork", ""),
    (look(Silent(Silence.STRANGE, "that is podman")), ASKED, U, "NotUnderstood", ""),
    (look(), ASKED, T, "Consistent", ""),
    (look(), BY_BIP, T, "Consistent", ""),
    (look(running(default=OTHER)), ASKED, F, "NotWired", ""),
    (look(running(default=None)), ASKED, F, "NotWired", ""),
    (look(running(default=bridge(None))), ASKED, F, "NotWired", ""),
    (look(running(default=bridge("10.50.7.0/25"))), ASKED, F, "BridgeDiffers", "docker apply"),
    (look(running(default=OTHER, running=2), told=BIP), ASKED, F, "RestartPending", "restart Docker"),
    (look(running("28.0.0")), replace(ASKED, accepts=False), F, "EngineDropsUs", "iptables-forward-rules"),
    (look(running("28.0.0", own=own())), BY_NETWORK, F, "EngineDropsUs", "--mode network"),
    (look(running("29.0.0", filter="nftables"), told_accept_mark=True), ASKED, F, "EngineDropsUs", "fwmark"),
    (look(running(default=OTHER)), BY_BIP, F, "BridgeDiffers", "docker apply"),
    (look(running(default=bridge("10.50.3.0/24"))), ASKED, F, "BridgeDiffers", "docker apply"),
    (look(running(default=bridge(gateway=IPv4Address("10.50.7.254")))), ASKED, F, "BridgeDiffers", "docker apply"),
    (look(running(default=OTHER), told=BIP), ASKED, F, "RestartPending", "restart Docker"),
    (look(running(default=OTHER, live_restore=True), told=BIP), ASKED, F, "RestartPending", "restart Docker"),
    (look(running(default=OTHER, live_restore=True, running=2), told=BIP), ASKED, F, "LiveRestoreKeptOldBip",
     "stop the containers"),
    (look(running(default=bridge(mtu=1500))), ASKED, F, "MTUDiffers", "docker apply"),
    (look(running(default=bridge(mtu=1400))), ASKED, T, "Consistent", ""),
    (look(over_mtu=("veth1", "veth2")), ASKED, F, "MTUOfContainers", "again"),
    (look(running("28.5.2")), ASKED, T, "Consistent", ""),
    (look(running("28.5.2")), replace(ASKED, accepts=False), F, "EngineDropsUs", "iptables-forward-rules"),
    (look(running("28.5.2"), told_direct_routing=True), replace(ASKED, accepts=False), T, "Consistent", ""),
    (look(running("27.5.1")), replace(ASKED, accepts=False), T, "Consistent", ""),
    (look(running("29.0.0", filter="nftables")), ASKED, F, "EngineDropsUs", "--mode network"),
    (look(running("29.0.0", filter="nftables"), told_direct_routing=True), ASKED, F, "EngineDropsUs", "fwmark"),
    (look(running("29.0.0", filter="nftables"), told_direct_routing=True, told_accept_mark=True), ASKED, T,
     "Consistent", ""),
    (look(running("29.0.0", filter="iptables+firewalld")), ASKED, T, "Consistent", ""),
    (look(), BY_NETWORK, F, "NetworkMissing", "--mode network"),
    (look(running(own=own(), default=OTHER)), ASKED, T, "Consistent", ""),
    (look(running(own=own(), default=OTHER)), BY_NETWORK, T, "Consistent", ""),
    (look(running(own=replace(own(), ours=False))), BY_NETWORK, F, "NetworkTaken", "remove it"),
    (look(running(own=replace(own(), ours=False))), ASKED, T, "Consistent", ""),
    (look(running(own=own(subnet="10.50.9.0/24"))), BY_NETWORK, F, "BridgeDiffers", "--mode network"),
    (look(running(own=replace(own(), masquerade=True))), BY_NETWORK, F, "Masquerades", "--mode network"),
    (look(running("28.0.4", own=own())), BY_NETWORK, F, "EngineDropsUs", "--mode network"),
    (look(running("28.0.4", own=own(options=OPEN))), BY_NETWORK, T, "Consistent", ""),
    (look(running(own=own(mtu=9000))), BY_NETWORK, F, "MTUDiffers", "--mode network"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "asked", "status", "reason", "cure"),
    CASES,
    ids=[f"{case[3]}-{number}" for number, case in enumerate(CASES)],
)
def test_docker_is_judged(
    seen: DockerLook | None, asked: DockerStandard, status: Status, reason: str, cure: str
) -> None:
    found = judge(seen, asked)
    assert (found.status, found.reason) == (status, reason)
    assert cure in found.cure
    assert found.message
    assert "\n" not in found.message + found.cure
    assert re.fullmatch(r"([A-Z]+[a-z]+)+", found.reason)


@given(st.sampled_from(CASES))
def test_docker_that_is_not_there_or_not_ours_never_makes_the_daemon_unhealthy(case: Any) -> None:
    found = judge(case[0], case[1])
    assert found.healthy == (found.status is not F or found.reason == "NotWired")
    assert bool(found.cure) == (not found.healthy)


def test_p01_p08_p19_reasons_name_the_cure_in_words_of_the_cli() -> None:
    for reason in ("EngineDropsUs", "Masquerades", "MTUDiffers", "NetworkMissing"):
        cures = {judge(case[0], case[1]).cure for case in CASES if case[3] == reason}
        assert any("flanpyctl docker apply" in cure or "iptables-forward-rules" in cure for cure in cures)


def test_p01_newer_docker_in_bip_mode_needs_our_accepts_and_others_do_not() -> None:
    newer = running("28.5.2", own=own(options=OPEN))
    assert needs_accepts(look(running("28.0.0")), ASKED)
    assert needs_accepts(look(newer), BY_BIP)
    assert not needs_accepts(look(newer), ASKED)
    assert not needs_accepts(look(running("28.2.0"), told_direct_routing=True), ASKED)
    assert not needs_accepts(look(running("27.5.1")), ASKED)
    assert not needs_accepts(look(Silent(Silence.HUNG, "no answer")), ASKED)


# What Docker's API says (documents cut down to what is read; the forms are those of 20.10, 26.1 and 28.5)


def test_facts_are_read_from_the_documents_of_the_api() -> None:
    info = {"ServerVersion": "28.5.2", "LiveRestoreEnabled": True, "ContainersRunning": 3,
            "FirewallBackend": {"Driver": "iptables"}}  # fmt: skip
    default = {
        "Name": "bridge",
        "Id": "a" * 64,
        "IPAM": {"Config": [{"Subnet": "10.50.7.0/24", "Gateway": "10.50.7.1"}]},
        "Options": {
            f"{OPTION}name": "docker0",
            f"{OPTION}enable_ip_masquerade": "true",
            "com.docker.network.driver.mtu": "1450",
        },
        "Containers": {"c1": {"Name": "web"}, "c0": {"Name": "job"}},
    }
    found = facts(info, default, None)
    assert (str(found.version), found.live_restore, found.running, found.filter) == (
        "28.5.2",
        True,
        3,
        "iptables",
    )
    assert found.default is not None
    assert (found.default.subnet, found.default.gateway) == (bridge().subnet, bridge().gateway)
    assert (found.default.mtu, found.default.masquerade, found.default.bridge) == (1450, True, "docker0")
    assert found.default.containers == ("job", "web")
    assert found.own is None


@pytest.mark.parametrize(
    "document",
    [{}, {"Options": None, "IPAM": None, "Containers": None, "Labels": None},
     {"IPAM": {"Config": None}}, {"IPAM": {"Config": [{}]}},
     {"IPAM": {"Config": [{"Subnet": "junk", "Gateway": 5}]}, "Options": {"com.docker.network.driver.mtu": "x"}},
     {"Options": {"com.docker.network.driver.mtu": "\u00b2"}},
     {"Options": {"com.docker.network.driver.mtu": "9" * 5000}}],
)  # fmt: skip
def test_network_with_anything_missing_is_read_as_one_without_it(document: dict[str, Any]) -> None:
    found = network(document)
    assert (found.subnet, found.gateway, found.mtu, found.masquerade, found.ours) == (
        None,
        None,
        1500,
        True,
        False,
    )


def test_facts_of_an_idle_docker_have_no_networks_of_ours() -> None:
    for info in ({"ServerVersion": "20.10.24"}, {"ServerVersion": "20.10.24", "ContainersRunning": 0}):
        found = facts(info, None, {"Name": "flanpy"})
        assert (found.running, found.default, found.live_restore, found.filter) == (0, None, False, "")
        assert found.own is not None
        assert found.own.name == "flanpy"


@pytest.mark.parametrize(
    ("name", "options", "link"),
    [
        ("bridge", {}, "docker0"),
        ("web", {}, "br-0123456789ab"),
        ("bridge", {f"{OPTION}name": "docker7"}, "docker7"),
        ("web", {f"{OPTION}name": "web0"}, "web0"),
    ],
)
def test_bridge_is_named_by_its_option_or_as_docker_names_it(
    name: str, options: dict[str, str], link: str
) -> None:
    assert network({"Name": name, "Id": "0123456789abcdef", "Options": options}).bridge == link


def test_gateway_of_the_other_family_is_none_of_the_subnet() -> None:
    found = network({"IPAM": {"Config": [{"Subnet": "10.50.7.0/24", "Gateway": "fd50::1"}]}})
    assert (found.subnet, found.gateway) == (bridge().subnet, None)


def test_network_that_is_judged_is_ours_in_network_mode_and_the_default_one_otherwise() -> None:
    found = running(own=own())
    assert judged_network(found, Mode.AUTO) == judged_network(found, Mode.NETWORK) == found.own
    assert judged_network(found, Mode.BIP) == found.default
    assert judged_network(running(), Mode.AUTO) == running().default


def test_difference_is_said_with_both_subnets_and_containers_by_a_few_names() -> None:
    assert judge(look(running(default=OTHER)), BY_BIP).message == (
        "docker0 is 172.17.0.0/16, leased is 10.50.7.0/24"
    )
    crowd = judge(look(over_mtu=("v1", "v2", "v3", "v4")), ASKED).message
    assert crowd.startswith("the MTU of 4 running containers is over")
    assert "(v1, v2, v3 at docker0)" in crowd


def test_network_of_dual_stack_keeps_both_families() -> None:
    configs = [
        {"Subnet": "fd50::/64", "Gateway": "fd50::1"},
        {"Subnet": "10.50.7.1/24", "Gateway": "10.50.7.1/24"},
    ]
    found = network({"Name": "flanpy", "IPAM": {"Config": configs}})
    assert (found.subnet, found.gateway, found.subnets6) == (
        bridge().subnet,
        bridge().gateway,
        ("fd50::/64",),
    )


@pytest.mark.parametrize("text", ["", "library-import", "dev", "x.1"])
def test_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DockerError, match="is that Docker"):
        version(text)


def test_versions_are_ordered_by_number() -> None:
    assert str(Version(28, 0)) == "28.0"
    assert version("28.0.1") == version("28.0.2+x") == Version(28, 0)
    assert version("9.1") < version("20.10.24+dfsg1") < version("v28.0.0-rc.1") < version("28.10.0")
