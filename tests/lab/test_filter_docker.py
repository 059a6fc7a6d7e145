"""Containers across hosts under the rules of Docker engines: real packets through replicas of what engines put.

The replicas of 20.10, 26.1 and 28.5 were captured from real ones; that of 29 with nftables is written after moby's
description.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from integration.lab import Container, Host, Lab, flanpyctl
from tests.lab.conftest import BuildLab
from tests.lab.filter_side import listed, put_docker_rules, seen_as, telling, use_network_mode
from tests.lab.overlay import condition, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

BIP = (
    "docker-20.10-nft-bip-mode",
    "docker-20.10-legacy-bip-mode",
    "docker-26.1-nft-bip-mode",
    "docker-28.5-nft-bip-mode",
    "docker-28.5-legacy-bip-mode",
    "docker-29-nftables-bip-mode",
)
NETWORK_MODE = (
    "docker-20.10-nft-network-mode",
    "docker-28.5-nft-network-mode",
    "docker-28.5-legacy-network-mode",
)
UNPUBLISHED = 82
SILENT_S = 2.0
"""How long is waited for an answer that must not come."""


@dataclass
class Overlay:
    lab: Lab
    replica: str

    @property
    def hosts(self) -> tuple[Host, ...]:
        return self.lab.hosts[:2]

    @property
    def outsider(self) -> Host:
        return self.lab.hosts[2]

    @property
    def ends(self) -> tuple[Container, Container]:
        one, two = self.lab.containers
        return one, two

    def assert_reach(self) -> None:
        """Both containers are reached, and seen by their own address."""
        one, two = self.ends
        eventually(
            lambda: seen_as(one.namespace, two.address, wait=1.0) == one.address,
            lambda: f"{two.name} sees {one.name} as {seen_as(one.namespace, two.address)!r}",
            deadline=30,
        )
        eventually(
            lambda: seen_as(two.namespace, one.address, wait=1.0) == two.address,
            lambda: f"{one.name} sees {two.name} as {seen_as(two.namespace, one.address)!r}",
            deadline=30,
        )


@contextmanager
def overlay_under(lab: Lab, replica: str, *flags: str) -> Iterator[Overlay]:
    """Two hosts with a container each, and Docker's rules put before and after flanpyd had its own; an outsider."""
    lab.configure()
    for host in lab.hosts[:2]:
        host.daemon.up(*flags)
        host.attach_container()
        if "network-mode" in replica:
            use_network_mode(host)
        put_docker_rules(host, replica)
        lab.hosts[2].ip(f"route add {host.subnet_file.subnet.network} via {host.address}")
    one, two = lab.containers
    with telling(one.namespace), telling(two.namespace), telling(lab.hosts[2].namespace):
        yield Overlay(lab, replica)


@pytest.mark.parametrize("replica", BIP + NETWORK_MODE)
def test_p01_p02_p08_containers_meet_by_their_own_addresses_and_strangers_stay_out(
    build_lab: BuildLab, replica: str
) -> None:
    with overlay_under(build_lab(3), replica, "--ip-masq") as overlay:
        overlay.assert_reach()
        one, _ = overlay.ends
        host, outsider = overlay.hosts[0], overlay.outsider

        # outgoing NAT, a published port, and nothing else
        eventually(
            lambda: seen_as(one.namespace, outsider.address, wait=1.0) == host.address,
            lambda: f"seen as {seen_as(one.namespace, outsider.address)!r}",
            deadline=30,
        )
        published = 8090 if "network-mode" in replica else 8080
        assert seen_as(outsider.namespace, host.address, published) == outsider.address
        with telling(one.namespace, UNPUBLISHED):
            assert seen_as(outsider.namespace, one.address, UNPUBLISHED, wait=SILENT_S) == ""

        eventually(lambda: condition(host, "FirewallReady")["status"] == "True", "it says so", deadline=30)
        if "nftables" not in replica:
            assert ":FORWARD DROP" in listed(host, replica)


@pytest.mark.parametrize("replica", ["docker-20.10-nft-bip-mode", "docker-28.5-legacy-bip-mode"])
def test_p03_rules_are_back_after_any_flush_and_foreign_ones_stay_as_they_are(
    build_lab: BuildLab, replica: str
) -> None:
    tool = "iptables-legacy" if "legacy" in replica else "iptables-nft"
    with overlay_under(build_lab(3), replica) as overlay:
        overlay.assert_reach()
        host = overlay.hosts[0]
        host.run(tool, "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "9", "-j", "RETURN")
        for table in ("nat", "raw", "mangle", "filter"):
            before = _rules(host, replica, table)
            host.run(tool, "-t", table, "-F", *(["FLANPY-FORWARD"] if table == "filter" else []))
            eventually(
                lambda t=table, b=before: _ours(_rules(host, replica, t)) == _ours(b),  # type: ignore[misc]
                lambda t=table: _rules(host, replica, t),  # type: ignore[misc]
                deadline=30,
            )
        overlay.assert_reach()
        foreign = [line for line in _rules(host, replica, "filter") if "FLANPY" not in line]
        host.run("nft", "flush", "ruleset")
        host.run(tool, "-F")
        host.run(tool, "-P", "FORWARD", "DROP")
        overlay.assert_reach()

        put_docker_rules(host, replica)  # as a restart of Docker does
        overlay.assert_reach()
        assert [line for line in _rules(host, replica, "filter") if "FLANPY" not in line] == foreign
        eventually(
            lambda: _jumps_from_users(host, replica)[:1] == ["-A DOCKER-USER -j FLANPY-FORWARD"],
            lambda: _jumps_from_users(host, replica),
            deadline=30,
        )


def _jumps_from_users(host: Host, replica: str) -> list[str]:
    return [line for line in _rules(host, replica, "filter") if line.startswith("-A DOCKER-USER")]


def _rules(host: Host, replica: str, table: str) -> list[str]:
    tool = "iptables-legacy-save" if "legacy" in replica else "iptables-nft-save"
    lines = host.run(tool, "-t", table).stdout.splitlines()
    return [line.split(" [")[0] for line in lines if not line.startswith("#")]


def _ours(lines: list[str]) -> list[str]:
    return [line for line in lines if "FLANPY" in line]


def test_p08_nftables_rules_of_ours_keep_the_source_under_a_foreign_masquerade(build_lab: BuildLab) -> None:
    """Our rule is asked before any foreign masquerade, in iptables or elsewhere."""
    with overlay_under(build_lab(3), "docker-20.10-nft-bip-mode", "--filter-backend=nft") as overlay:
        for host in overlay.hosts:
            host.run("iptables-nft", "-P", "FORWARD", "ACCEPT")
        overlay.assert_reach()
        one, _ = overlay.ends
        assert "FLANPY" not in listed(overlay.hosts[0], overlay.replica)
        assert seen_as(one.namespace, overlay.outsider.address) == overlay.hosts[0].address


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_f4_ip_masq_gives_egress_where_docker_has_no_rules_and_the_policy_drops(
    build_lab: BuildLab, tool: str
) -> None:
    """Docker with `iptables: false` neither accepts nor masquerades: flannel's accept rules do, and so do ours."""
    lab = build_lab(2)
    lab.configure()
    host, outsider = lab.hosts
    host.run(tool, "-P", "FORWARD", "DROP")
    host.daemon.up("--ip-masq", f"--filter-backend={tool}")
    container = host.attach_container()
    with telling(outsider.namespace):
        eventually(
            lambda: seen_as(container.namespace, outsider.address, wait=1.0) == host.address,
            lambda: f"seen as {seen_as(container.namespace, outsider.address)!r}",
            deadline=30,
        )
    assert "-P FORWARD DROP" in host.run(tool, "-S", "FORWARD").stdout


def test_cleanup_takes_all_rules_away_and_flannels_go_on_take_over(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    host = lab.hosts[0]
    host.run("iptables-nft", "-N", "FLANNEL-FWD")
    host.run(
        "iptables-nft", "-A", "FORWARD", "-m", "comment", "--comment", "flanneld forward", "-j", "FLANNEL-FWD"
    )
    host.run("nft", "add table ip flannel-ipv4; add chain ip flannel-ipv4 forward")
    host.daemon.up()
    eventually(lambda: "FLANPY" in host.run("iptables-nft-save").stdout, "rules stand", deadline=30)
    eventually(
        lambda: (
            "lannel-" not in host.run("nft", "list", "tables").stdout
            and "FLANNEL" not in host.run("iptables-nft-save").stdout
        ),
        lambda: host.run("nft", "list", "ruleset").stdout,
        deadline=30,
    )
    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={host.daemon.subnet_path}", check=False)
    assert host.run("nft", "list", "ruleset").stdout == ""
