"""Effects of packet filters, Docker's and other people's, on an overlay, on real engines: P01 P02 P03 P08 P09 P10."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from integration.hosts.engines import FETCHED, DockerHost, DockerLab
from integration.lab import NETWORK, LabError
from tests.engines.conftest import BuildDockerLab
from tests.engines.outside import SILENT, ask, serving
from tests.engines.overlay_hosts import MOST_GAP_MS, Overlay, box, policy, set_up, stream
from tests.lab.overlay import condition, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

FLAVOURS = [pytest.param(False, id="nft"), pytest.param(True, id="legacy")]


@pytest.fixture(scope="module", params=FLAVOURS)
def overlay(request: pytest.FixtureRequest) -> Iterator[Overlay]:
    """One for all tests of a flavour: each leaves it working. Containers outlive a restart of Docker."""
    with DockerLab(3, legacy=request.param) as lab, serving(lab.hosts[2]) as world:
        yield set_up(lab, world, daemon_json={"live-restore": True})


@pytest.mark.more_engines
@pytest.mark.parametrize("version", FETCHED)
def test_p01_p08_overlay_works_and_keeps_strangers_out_on_newer_engines(
    build_lab: BuildDockerLab, version: str
) -> None:
    lab = build_lab(3, engine=version)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world)
        overlay.hosts[0].engine.restart()
        overlay.one.start()
        overlay.assert_works()


def test_p01_p02_p08_overlay_works_under_policy_drop_and_the_policy_stays(overlay: Overlay) -> None:
    assert [policy(host) for host in overlay.hosts] == ["DROP", "DROP"]

    overlay.hosts[0].engine.restart()

    overlay.assert_works()
    assert policy(overlay.hosts[0]) == "DROP"


@pytest.mark.parametrize("wipe", ["nft flush ruleset", "iptables -F", "iptables -t nat -F"])
def test_p03_stream_goes_on_when_somebody_wipes_all_rules(overlay: Overlay, wipe: str) -> None:
    with stream(overlay.one, overlay.two) as there, stream(overlay.two, overlay.one) as back:
        there.wait_flowing()
        back.wait_flowing()
        for host in overlay.hosts:
            host.run(*wipe.split())
        overlay.assert_reach()
        reports = (there.stop(), back.stop())
    for host in overlay.hosts:
        _have_docker_mend(host)

    assert all(report.whole for report in reports)
    assert max(report.longest_gap_ms for report in reports) < MOST_GAP_MS
    overlay.assert_works()


def _have_docker_mend(host: DockerHost) -> None:
    """Docker puts its own rules back at no other time, and the policy only when it turns forwarding on."""
    host.engine.restart()
    host.run("iptables", "-P", "FORWARD", "DROP")


def test_p09_masquerade_takes_random_ports(overlay: Overlay) -> None:
    host = overlay.hosts[0]
    texts = host.run("iptables-save").stdout + host.run("nft", "list", "ruleset").stdout
    ours = [line for line in texts.splitlines() if "masquerade" in line.lower() and NETWORK in line]

    assert ours
    assert all(re.search(r"random-fully|fully-random", line) for line in ours)


def test_p10_rules_are_tried_again_until_they_stand(overlay: Overlay) -> None:
    one = overlay.hosts[0]
    one.daemon.stop()
    for table in ("filter", "nat"):
        one.run("iptables", "-t", table, "-F")
    holder = one.child("lock")
    holder.start([*one.enter_argv()[3:], "flock", "-F", "/run/xtables.lock", "sleep", "1000000"])
    try:
        one.daemon.launch("--ip-masq")
        if "legacy" in one.run("iptables", "-V").stdout:  # the other flavour knows no lock
            eventually(lambda: _firewall_ready(one) == "False", "it says so", deadline=20)
    finally:
        holder.kill()
    one.daemon.wait_ready()
    overlay.assert_reach()
    _have_docker_mend(one)
    overlay.assert_works()
    eventually(lambda: _firewall_ready(one) == "True", "it says so", deadline=20)


def _firewall_ready(host: DockerHost) -> str:
    with suppress(LabError):  # nobody answers yet
        return str(condition(host, "FirewallReady")["status"])
    return "Unknown"


def test_p08_container_started_later_is_seen_by_its_own_address(overlay: Overlay) -> None:
    later = box(overlay.hosts[0], "later")
    try:
        assert later.as_end().ping(overlay.two.as_end(), wait=10).ok
    finally:
        later.remove()


def test_s2_icc_false_keeps_containers_of_a_host_apart_and_the_overlay_open(
    build_lab: BuildDockerLab,
) -> None:
    lab = build_lab(3)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world, daemon_json={"icc": False})
        beside = box(overlay.hosts[0], "beside")

        assert ask(beside.as_end().namespace, overlay.one.address(), 80) == SILENT
        assert ask(overlay.one.as_end().namespace, beside.address(), 80) == SILENT
        assert ask(overlay.two.as_end().namespace, beside.address(), 80) == f"beside {overlay.two.address()}"
        overlay.assert_works()
