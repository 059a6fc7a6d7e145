"""A daemon with nothing to do does nothing: no writes, no read-backs but by the timer, hardly a wake-up."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from integration.lab import Host, Lab
from tests.lab.daemon_side import cpu_seconds, overlay_events, wakeups, watching_kernel
from tests.lab.overlay import eventually, metric

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

WINDOW_S = 20.0
MOST_WAKEUPS_A_SECOND = 60
WATCHED = (
    "flanpy_kernel_operations_total",
    "flanpy_repairs_total",
    "flanpy_reconcile_pass_duration_seconds_count",
    "flanpy_store_listings_total",
    "flanpy_store_requests_total",
    "flanpy_store_revision",
)


def _counts(host: Host) -> dict[object, float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(host.daemon.metrics())
        for sample in family.samples
        if sample.name in WATCHED
    }


def _wait_for_rest(host: Host) -> None:
    """Wait until three looks in a row, a second apart, find the same counts and no new line in the log."""
    seen: list[object] = []

    def at_rest() -> bool:
        time.sleep(1)  # between two looks
        seen.append((_counts(host), len(host.daemon.log_lines())))
        return len(seen) > 2 and seen[-3:] == [seen[-1]] * 3

    eventually(at_rest, lambda: f"the daemon does not come to rest: {seen[-3:]}", deadline=15)


def test_idle_daemon_writes_reads_lists_and_logs_nothing(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    host = lab.hosts[0]
    host.daemon.restart(env={"FLANPYD_RESYNC_INTERVAL": "1h"})
    _wait_for_rest(host)  # past what follows on a start: the listeners, the first keep-alive
    counts, lines, pid = _counts(host), len(host.daemon.log_lines()), host.daemon.pid
    with watching_kernel(host) as watcher:
        settled = _counts(host)
        cpu, wakes = cpu_seconds(pid), wakeups(pid)
        time.sleep(WINDOW_S)  # idleness is the subject
        record_property("cpu_percent", 100 * (cpu_seconds(pid) - cpu) / WINDOW_S)
        record_property("wakeups_a_second", (woken := wakeups(pid) - wakes) / WINDOW_S)
        print(
            f"idle: CPU {100 * (cpu_seconds(pid) - cpu) / WINDOW_S:.2f} %, {woken / WINDOW_S:.1f} wake-ups/s"
        )
        assert _counts(host) == settled
        assert overlay_events(watcher) == []
    assert counts.keys() == settled.keys()
    assert host.daemon.log_lines()[lines:] == []
    assert woken / WINDOW_S < MOST_WAKEUPS_A_SECOND


def test_timer_is_the_only_cause_of_read_backs_and_they_write_nothing(lab: Lab) -> None:
    host = lab.hosts[0]
    began = time.monotonic()
    host.daemon.restart(env={"FLANPYD_RESYNC_INTERVAL": "500ms"})
    eventually(lambda: metric(host, "flanpy_resyncs_total", reason="timer") >= 8, host.daemon.metrics)
    page, counted = host.daemon.metrics(), metric(host, "flanpy_resyncs_total", reason="timer")
    assert counted <= 2 * (time.monotonic() - began) + 1
    reasons = {line.split('"')[1] for line in page.splitlines() if line.startswith("flanpy_resyncs_total{")}
    assert reasons == {"start", "timer"}
    assert "flanpy_kernel_operations_total{" not in page
    host.daemon.restart()
