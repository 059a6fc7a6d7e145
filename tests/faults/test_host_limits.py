"""A host whose clock jumps, whose memory or descriptors run out, whose disk refuses: traffic does not notice."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from integration.drivers.matrix.outcome import noted
from integration.faults.means.limits import (
    FakeClock,
    few_descriptors,
    forget_dead_clocks,
    launch_in,
    limit_growth,
    memory_group,
)
from integration.faults.means.own_disks import SmallDisk
from integration.hosts.daemon import flanpyd
from integration.lab import ETCD_PREFIX, Host, Lab, Stream, unreached
from tests.faults.flows import gap_of_whole
from tests.lab.daemon_side import kernel_state, stopped
from tests.lab.etcd_side import own_key, owned
from tests.lab.overlay import assert_settled, condition, eventually, leases, never, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

HOUR = 3600
MOST_LINES = 20


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    with stopped(lab.hosts[0]) as host:
        yield host
    forget_dead_clocks()


def _a_route(host: Host) -> str:
    return next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")


def _assert_heals(lab: Lab, host: Host) -> float:
    """The loop turns: what is deleted comes back. Returns the seconds it took."""
    began = time.monotonic()
    host.ip(f"route del {_a_route(host)}")
    eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host))
    return time.monotonic() - began


def test_wall_clock_that_jumps_hours_both_ways_changes_nothing(lab: Lab, host: Host, stream: Stream) -> None:
    clock = FakeClock(host)
    host.daemon.up("--subnet-lease-ttl=7200", env=clock.environment)
    assert_settled(lab, [host])
    before, lines = kernel_state(host), len(host.daemon.log_lines())
    subnet = leases(lab)[host.name].subnet
    for jump in (6 * HOUR, -6 * HOUR, 400 * 24 * HOUR, 0):
        clock.jump(jump)
        eventually(
            lambda jump=jump: _clock_error(host, jump) < 60,  # type: ignore[misc]
            lambda: f"the daemon's clock is off by {host.daemon.log_tail(1)}",
        )
        took = _assert_heals(lab, host)
        never(lambda: not host.daemon.is_ready(), f"not ready after a jump of {jump} s", seconds=1)
        noted(
            "host", f"wall clock off by {jump // HOUR:+d} h", converged_s=took, gap_ms=stream.longest_gap_ms
        )
    assert kernel_state(host) == before
    assert leases(lab)[host.name].subnet == subnet
    told = [line for line in host.daemon.log_lines()[lines:] if line["event"] != "pass_applied"]
    assert len(told) < MOST_LINES, told
    gap_of_whole(stream)


def _clock_error(host: Host, jump: int) -> float:
    """Seconds between what a fake clock should say and what the daemon's metrics of its lease's end imply."""
    shown = next(
        float(line.split()[1])
        for line in host.daemon.metrics().splitlines()
        if line.startswith("flanpy_lease_expiry_timestamp_seconds ")
    )
    return max(0.0, abs(shown - (time.time() + jump)) - 7200)


def test_lease_is_renewed_while_the_wall_clock_jumps(lab: Lab, host: Host) -> None:
    clock = FakeClock(host)
    host.daemon.up("--subnet-lease-ttl=30", env=clock.environment)
    assert_settled(lab, [host])
    mine = owned(lab, host)
    assert mine is not None
    left = lab.etcd.api.time_to_live(mine.lease)
    jumps = itertools.cycle((3 * HOUR, -3 * HOUR))

    def renewed() -> bool:
        nonlocal left
        clock.jump(next(jumps))
        time.sleep(0.5)
        before, left = left, lab.etcd.api.time_to_live(mine.lease)
        return left > before

    eventually(renewed, "it is not renewed", deadline=15)
    still = owned(lab, host)
    assert still is not None, "it was lost meanwhile"
    assert (still.create_revision, still.lease) == (mine.create_revision, mine.lease), "it was lost meanwhile"
    assert host.daemon.is_ready()


def test_daemon_killed_for_its_memory_costs_no_traffic_and_comes_back_whole(
    lab: Lab, host: Host, stream: Stream
) -> None:
    with memory_group(f"flanpy-oom-{os.getpid()}") as group, ExitStack() as stack:
        launch_in(group, host)
        host.daemon.wait_ready()
        assert_settled(lab, [host])
        eventually(lambda: condition(host, "ListenersUp")["healthy"], host.daemon.log_tail)
        before = kernel_state(host)
        limit_growth(group, 1 << 20)
        for _ in range(600):
            if host.daemon.running:
                _half_a_request(host, stack)
        eventually(lambda: not host.daemon.running, "it is killed")
        assert host.daemon.exit_code == -signal.SIGKILL
    assert kernel_state(host) == before
    assert unreached(lab.containers) == ()
    took = host.daemon.up()
    assert_settled(lab, [host])
    noted("host", "OOM kill", gap_ms=gap_of_whole(stream), converged_s=took)


def _half_a_request(host: Host, stack: ExitStack) -> None:
    """Some kilobytes for the daemon to keep."""
    client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    client.settimeout(10)
    with suppress(OSError):  # killed by now
        client.connect(str(host.daemon.run_dir / "flanpyd.sock"))
        client.sendall(b"GET /v1/status HTTP/1.1\r\nX: " + bytes(7000))


def test_daemon_without_descriptors_forwards_says_little_and_recovers(
    lab: Lab, host: Host, stream: Stream
) -> None:
    host.daemon.up()
    assert_settled(lab, [host])
    eventually(lambda: condition(host, "ListenersUp")["healthy"], host.daemon.log_tail)
    lines = len(host.daemon.log_lines())
    with ExitStack() as stack:
        stack.enter_context(few_descriptors(host.daemon.pid, spare=3))
        for _ in range(20):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.settimeout(5)
            client.connect(str(host.daemon.run_dir / "flanpyd.sock"))
        host.ip("link del flannel.1")
        lab.etcd.kill()
        lab.etcd.start()
        never(lambda: not host.daemon.running, "the daemon died", seconds=6)
    began = time.monotonic()
    assert_settled(lab, [host], deadline=30)
    took = time.monotonic() - began
    eventually(lambda: host.daemon.answers("/healthz"), host.daemon.log_tail)
    told = host.daemon.log_lines()[lines:]
    assert len(told) < MOST_LINES, [line.get("event") for line in told]
    assert not [line for line in told if "text" in line], "a traceback beside the log"
    assert unreached(lab.containers) == ()
    noted(
        "host",
        "no file descriptors, device deleted, etcd restarted",
        gap_ms=gap_of_whole(stream),
        converged_s=took,
    )


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_saved_lease_stays_whole_when_its_disk_refuses_a_newer_one(lab: Lab, host: Host, fault: str) -> None:
    disk = SmallDisk(host, host.directory / f"small-{fault}")
    disk.launch(env={"FLANPYD_STATE_DIR": str(disk.mount_point)})
    host.daemon.wait_ready()
    eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail)
    kept = disk.path("lease.json").read_bytes()
    if fault == "full":
        disk.fill()
    else:
        disk.remount("ro")
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/{own_key(lab, host)}")
    eventually(lambda: not condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail)
    assert disk.path("lease.json").read_bytes() == kept
    assert [path.name for path in disk.path("lease.json").parent.glob(".*")] == []
    assert host.daemon.is_ready()
    began = time.monotonic()
    if fault == "full":
        disk.make_room()
    else:
        disk.remount("rw")
    eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail)
    assert disk.path("lease.json").read_bytes() != kept
    noted("host", f"state directory {fault} under a new lease", converged_s=time.monotonic() - began)


def test_log_that_nobody_reads_stops_nothing_and_says_later_what_was_lost(
    lab: Lab, host: Host, stream: Stream
) -> None:
    fifo = host.directory / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(reader, bytes(4096))
        host.daemon.launch(argv=["sh", "-c", f'exec "$@" 2>{fifo}', "sh", *flanpyd().argv])
        host.daemon.wait_ready()
        assert_settled(lab, [host])
        took = _assert_heals(lab, host)
        with suppress(BlockingIOError):
            while True:
                os.read(reader, 1 << 16)
        _assert_heals(lab, host)
        said = b""

        def told() -> bool:
            nonlocal said
            with suppress(BlockingIOError):
                said += os.read(reader, 1 << 16)
            return b"log_lines_lost" in said

        eventually(told, lambda: said)
    finally:
        os.close(reader)
        fifo.unlink()
    noted("host", "a log that nobody reads", converged_s=took, gap_ms=gap_of_whole(stream))
