"""A disk that hangs under the daemon: it forwards, heals and renews its lease, says so, and writes all afterwards.

The disk is a real one, frozen: who writes to it waits in the kernel, and cannot even be killed.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.drivers.matrix.outcome import in_full, noted
from integration.faults.means.own_disks import HungDisk, hangs
from integration.hosts.daemon import flanpyctl, flanpyd
from integration.lab import Host, Lab, LabError, Stream, unreached
from tests.faults.flows import gap_of_whole
from tests.lab.daemon_side import kernel_state, stopped
from tests.lab.etcd_side import owned
from tests.lab.overlay import assert_settled, condition, eventually, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

TTL_S = 4
HUNG_S = (10 if in_full() else 2) * TTL_S
MOST_LINES = 20
PATIENT_S = 15.0
SETTLE_S = 1.5


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    with stopped(lab.hosts[0]) as host:
        yield host


@pytest.fixture
def disk(host: Host) -> Iterator[HungDisk]:
    with HungDisk(Path(tempfile.mkdtemp(prefix="disk-", dir=host.directory))) as disk:
        try:
            yield disk
        finally:
            host.daemon.kill()


def _launch(host: Host, disk: HungDisk, *flags: str) -> None:
    """Start the daemon with everything that it keeps on that disk, but for the run directory."""
    host.daemon.launch(
        f"--subnet-file={disk.mount_point}/subnet.env",
        *flags,
        env={"FLANPYD_STATE_DIR": str(disk.mount_point / "state")},
        argv=disk.within(flanpyd().argv),
    )


def _says_it_hangs(host: Host, kind: str, name: str) -> bool:
    try:
        found = condition(host, kind)
    except LabError:  # the control socket is not there yet
        return False
    return not found["healthy"] and f"{name}': no answer from its disk" in found["message"]


def _heals(lab: Lab, host: Host) -> None:
    route = next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
    host.ip(f"route del {route}")
    eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host))


def test_disk_that_hangs_for_longer_than_a_lease_lives_costs_no_lease_no_traffic_and_no_healing(
    lab: Lab, host: Host, stream: Stream, disk: HungDisk
) -> None:
    _launch(host, disk, f"--subnet-lease-ttl={TTL_S}")
    host.daemon.wait_ready()
    assert_settled(lab, [host])
    eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail)
    mine, lines = owned(lab, host), len(host.daemon.log_lines())
    assert mine is not None
    try:
        with disk.hanging():
            lab.etcd.api.delete(mine.key)  # taken again, and then to be saved
            host.ip("link set eth0 mtu 1600")  # so is the new MTU
            eventually(lambda: _says_it_hangs(host, "LeaseSaved", "lease.json"), host.daemon.log_tail)
            eventually(lambda: _says_it_hangs(host, "SubnetFileWritten", "subnet.env"), host.daemon.log_tail)
            assert hangs(host.daemon.pid)
            taken = owned(lab, host)
            assert taken is not None
            end = time.monotonic() + HUNG_S
            while time.monotonic() < end:
                _heals(lab, host)
                now = owned(lab, host)
                assert now is not None, "the lease was lost"
                assert (now.lease, now.create_revision) == (taken.lease, taken.create_revision)
                assert host.daemon.answers("/healthz")
                assert host.daemon.fetch("/readyz")[0] == 503
                time.sleep(0.2)
            assert "1450" in disk.path("subnet.env").read_text()
        began = time.monotonic()
        eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail, deadline=PATIENT_S)
        eventually(host.daemon.is_ready, host.daemon.log_tail, deadline=PATIENT_S)
        took = time.monotonic() - began
        assert f'"revision": {taken.mod_revision}' in disk.path("state/lease.json").read_text()
        assert "FLANNEL_MTU=1550" in disk.path("subnet.env").read_text()
    finally:
        host.ip("link set eth0 mtu 1500")
    told = [line for line in host.daemon.log_lines()[lines:] if line["event"] != "pass_applied"]
    assert len(told) < MOST_LINES, told
    gap = gap_of_whole(stream)
    noted("host", f"disk hung for {HUNG_S} s, lease TTL {TTL_S} s", converged_s=took, gap_ms=gap)


def test_start_over_a_state_that_cannot_be_written_serves_and_says_so(
    lab: Lab, host: Host, stream: Stream, disk: HungDisk
) -> None:
    _launch(host, disk)
    host.daemon.wait_ready()
    eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail)
    host.daemon.kill()
    with disk.hanging():
        _launch(host, disk, "--ip-masq")  # subnet.env must say so
        eventually(
            lambda: _says_it_hangs(host, "SubnetFileWritten", "subnet.env"),
            host.daemon.log_tail,
            deadline=PATIENT_S,
        )
        _heals(lab, host)
        assert unreached(lab.containers) == ()
    eventually(host.daemon.is_ready, host.daemon.log_tail, deadline=PATIENT_S)
    assert "FLANNEL_IPMASQ=true" in disk.path("subnet.env").read_text()
    gap_of_whole(stream)


def test_start_that_waits_for_the_disk_of_its_run_directory_says_so_in_one_line(
    lab: Lab, host: Host, stream: Stream, disk: HungDisk
) -> None:
    before = kernel_state(host)
    with disk.hanging():
        host.daemon.launch(
            env={"FLANPYD_RUN_DIR": str(disk.mount_point / "run")}, argv=disk.within(flanpyd().argv)
        )
        eventually(lambda: host.daemon.events("disk_awaited"), host.daemon.log_tail, deadline=PATIENT_S)
        (told,) = host.daemon.log_lines()
        assert told["path"] == str(disk.mount_point / "run")
        assert "no answer from its disk" in told["reason"]
        assert told["action"]
        assert unreached(lab.containers) == ()
        began = time.monotonic()
    host.daemon.wait_ready()
    assert kernel_state(host) == before
    took = time.monotonic() - began
    noted("host", "started over a disk that hangs", converged_s=took, gap_ms=gap_of_whole(stream))


def test_daemon_told_to_end_while_its_disk_hangs_ends_once_that_answers_and_the_next_is_whole(
    lab: Lab, host: Host, stream: Stream, disk: HungDisk
) -> None:
    _launch(host, disk)
    host.daemon.wait_ready()
    assert_settled(lab, [host])
    mine = owned(lab, host)
    assert mine is not None
    with disk.hanging():
        lab.etcd.api.delete(mine.key)
        assert hangs(host.daemon.pid)
        host.daemon.signal(signal.SIGTERM)
        eventually(lambda: host.daemon.events("daemon_stopped"), host.daemon.log_tail, deadline=PATIENT_S)
    assert host.daemon.wait(deadline=PATIENT_S) == 0
    _launch(host, disk)
    host.daemon.wait_ready()
    assert_settled(lab, [host])
    gap_of_whole(stream)


def test_drain_that_cannot_be_kept_on_disk_is_refused_in_time_and_leaves_no_mark(
    lab: Lab, host: Host, stream: Stream, disk: HungDisk
) -> None:
    _launch(host, disk)
    host.daemon.wait_ready()
    assert_settled(lab, [host])
    mine = owned(lab, host)
    mark = disk.path("state/drained.json")
    with disk.hanging():
        done = host.run(*flanpyctl(), "drain", "--force", check=False)
        assert done.returncode != 0
        (said,) = done.stderr.splitlines()
        assert f"cannot write '{disk.mount_point}/state/drained.json': no answer from its disk" in said
        assert owned(lab, host) == mine
        assert hangs(host.daemon.pid)
    time.sleep(SETTLE_S)  # it is written late, and taken away: neither is told
    eventually(lambda: not mark.exists(), "the mark that came late is gone")
    assert owned(lab, host) == mine
    gap_of_whole(stream)
