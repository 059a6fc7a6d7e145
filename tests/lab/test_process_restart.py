"""P17: flanpyd dies, ends and starts again, and neither the traffic nor the kernel notices."""

from __future__ import annotations

import time

import pytest

from integration.lab import Lab, Probe, Stream, unreached
from tests.lab.busy_side import beside_the_overlay
from tests.lab.daemon_side import kernel_state, overlay_events, watching_kernel
from tests.lab.overlay import assert_settled, eventually, metric

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

KILLS = 20
STOPPED_S = 5.0
MOST_GAP_MS = 1000


def test_p17_tcp_stream_is_whole_without_a_gap_when_daemons_are_killed_twenty_times(lab: Lab) -> None:
    one, two, _ = lab.hosts
    with (
        Stream(one.containers[0], two.containers[0]) as stream,
        beside_the_overlay(one, two) as control,
        watching_kernel(two) as watcher,
    ):
        stream.wait_flowing()
        control.wait_flowing()
        stream.mark()
        control.mark()
        for turn in range(KILLS):
            (one, two)[turn % 2].daemon.restart()
        gap, stood_still = stream.longest_gap_ms, control.longest_gap_ms
        report = stream.stop()
        told = overlay_events(watcher)
    assert gap < MOST_GAP_MS + stood_still
    assert report.whole
    assert told == []
    assert_settled(lab)


def test_p17_probe_loses_nothing_when_every_daemon_is_killed_at_once(lab: Lab) -> None:
    one, two, _ = lab.hosts
    with Probe(one.containers[0], two.containers[0]) as probe:
        probe.wait_flowing()
        for host in lab.hosts:
            host.daemon.kill()
        for host in lab.hosts:
            host.daemon.up()
        report = probe.stop()
    assert report.sent > 0
    assert (report.lost, report.twice) == (0, 0)


def test_p17_daemon_that_ends_leaves_kernel_lease_and_files_as_they_are(lab: Lab) -> None:
    one = lab.hosts[0]
    before = (
        kernel_state(one),
        [(kv.key, kv.value) for kv in lab.etcd.api.list("/coreos.com")],
        one.daemon.subnet_path.read_bytes(),
    )
    with watching_kernel(one) as watcher:
        assert one.daemon.stop() == 0
        after = (
            kernel_state(one),
            [(kv.key, kv.value) for kv in lab.etcd.api.list("/coreos.com")],
            one.daemon.subnet_path.read_bytes(),
        )
        told = overlay_events(watcher)
    assert after == before
    assert told == []


def test_p17_hosts_forward_while_every_daemon_is_stopped(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before = [kernel_state(host) for host in lab.hosts]
    for host in lab.hosts:
        assert host.daemon.stop() == 0
    with Probe(one.containers[0], two.containers[0]) as probe:
        probe.wait_flowing()
        time.sleep(STOPPED_S)  # the passing of time is the subject
        report = probe.stop()
    assert report.lost == 0
    assert unreached(lab.containers) == ()
    assert [kernel_state(host) for host in lab.hosts] == before


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_p17_adoption_after_a_restart_writes_nothing_to_the_kernel(lab: Lab, end: str) -> None:
    one = lab.hosts[0]
    before = kernel_state(one)
    getattr(one.daemon, end)()
    with watching_kernel(one) as watcher:
        one.daemon.up()
        eventually(lambda: metric(one, "flanpy_lease_confirmed") == 1, one.daemon.log_tail)
        eventually(lambda: metric(one, "flanpy_peers", state="programmed") == 2, one.daemon.metrics)
        told, page = overlay_events(watcher), one.daemon.metrics()
    assert "flanpy_kernel_operations_total{" not in page
    assert "flanpy_repairs_total{" not in page
    assert metric(one, "flanpy_resyncs_total", reason="start") == 1
    assert told == []
    assert kernel_state(one) == before


def test_p17_peers_keep_their_entries_of_a_host_whose_daemon_restarts(lab: Lab) -> None:
    one, two, three = lab.hosts
    before = kernel_state(two), kernel_state(three)
    one.daemon.restart()
    assert one.daemon.stop() == 0
    one.daemon.up()
    assert (kernel_state(two), kernel_state(three)) == before


def test_p17_what_changed_while_the_daemon_was_stopped_is_put_right_by_the_next_start(lab: Lab) -> None:
    one, two, three = lab.hosts
    assert one.daemon.stop() == 0
    gone = next(dst for dst, route in one.routes().items() if route.get("dev") == "flannel.1")
    one.ip(f"route del {gone}")
    with Probe(two.containers[0], three.containers[0]) as undisturbed:
        undisturbed.wait_flowing()
        one.daemon.up()
        assert_settled(lab)
        assert undisturbed.stop().lost == 0
    added = "flanpy_kernel_operations_total"
    eventually(lambda: metric(one, added, object="route", verb="add") == 1, one.daemon.metrics)
