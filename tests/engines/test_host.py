"""Other events on a Docker host, on real engines: P04 P05 P30, and Docker restarted again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.hosts.engines import DockerLab
from integration.net.namespaces import sysctl
from tests.engines.conftest import BuildDockerLab
from tests.engines.outside import PORT, ask, serving
from tests.engines.overlay_hosts import MOST_GAP_MS, Overlay, box, set_up, stream
from tests.lab.overlay import events, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

RESTARTS = [3, pytest.param(20, marks=pytest.mark.more_engines)]


@pytest.fixture(scope="module")
def overlay() -> Iterator[Overlay]:
    """Containers survive a restart of Docker here, as operators of overlays like it."""
    with DockerLab(3) as lab, serving(lab.hosts[2]) as world:
        yield set_up(lab, world, daemon_json={"live-restore": True})


@pytest.mark.parametrize("times", RESTARTS)
def test_stream_goes_on_while_docker_is_restarted_again_and_again(overlay: Overlay, times: int) -> None:
    one, two = overlay.hosts
    with stream(overlay.one, overlay.two) as there, stream(overlay.two, overlay.one) as back:
        there.wait_flowing()
        back.wait_flowing()
        for turn in range(times):
            (one, two)[turn % 2].engine.restart()
        reports = (there.stop(), back.stop())

    assert all(report.whole for report in reports)
    assert max(report.longest_gap_ms for report in reports) < MOST_GAP_MS
    overlay.assert_works()


def test_stream_goes_on_when_docker_dies_and_hangs(overlay: Overlay) -> None:
    one, two = overlay.hosts
    with stream(overlay.one, overlay.two) as there:
        there.wait_flowing()
        one.engine.kill()
        two.engine.freeze()
        try:
            overlay.hosts[0].daemon.restart("--ip-masq")
            there.mark()
            there.wait_flowing()
        finally:
            two.engine.thaw()
            one.engine.start()
        report = there.stop()

    assert report.whole
    overlay.assert_works()


def test_p04_stream_goes_on_when_somebody_turns_forwarding_off(overlay: Overlay) -> None:
    one, _two = overlay.hosts
    with stream(overlay.one, overlay.two) as there:
        there.wait_flowing()
        one.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        eventually(lambda: sysctl(one.namespace, "net/ipv4/ip_forward") == "1", "it is on again")
        there.wait_flowing()
        report = there.stop()

    assert report.whole
    assert report.longest_gap_ms < MOST_GAP_MS


def test_p05_answers_on_another_way_pass_when_reverse_path_filtering_is_strict(overlay: Overlay) -> None:
    one, two = overlay.hosts
    halves = [f"{overlay.one.address()}/32 via {one.address} dev eth0 proto static"]
    two.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    two.ip(*(f"route add {half}" for half in halves))
    try:
        eventually(
            lambda: overlay.one.as_end().ping(overlay.two.as_end()).ok,
            "what comes by flannel.1 goes out by eth0",
        )
    finally:
        two.ip(*(f"route del {half}" for half in halves))
        two.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    overlay.assert_works()


def test_containers_that_come_and_go_leave_the_connection_to_etcd_alone(overlay: Overlay) -> None:
    one = overlay.hosts[0]
    before = len(events(one, "watch_relisted"))

    for name in ("first", "second"):
        box(one, name).remove()

    assert len(events(one, "watch_relisted")) == before


def test_p30_host_boots_with_its_subnet_when_etcd_is_away(build_lab: BuildDockerLab) -> None:
    lab = build_lab(3)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world)
        one = overlay.hosts[0]
        lab.etcd.stop()
        _switch_off(overlay)

        one.daemon.up("--ip-masq")
        one.flanpyctl("docker", "apply")
        one.engine.start()
        overlay.one.start()

        assert one.engine.docker0() == one.subnet_file.subnet
        eventually(
            lambda: ask(overlay.one.as_end().namespace, world.address, PORT) == one.address,
            lambda: ask(overlay.one.as_end().namespace, world.address, PORT),
        )
        lab.etcd.start()
        overlay.assert_reach()


def _switch_off(overlay: Overlay) -> None:
    """Take away from host one what a reboot takes: processes, links, rules, /run. Its disk stays."""
    one = overlay.hosts[0]
    one.engine.stop()
    one.daemon.kill()
    one.run("sh", "-c", "nft flush ruleset; ip link del flannel.1; ip link del docker0; rm -rf /run/*")
    one.run("rm", "-rf", str(one.daemon.run_dir), str(one.daemon.subnet_path))
    one.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
