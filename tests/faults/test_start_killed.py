"""kill -9 at any step of a start: nothing is half written, nobody else notices, and the next start loses nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from flanpy.host import state_file, subnet_env
from flanpy.host.absent import Absent
from integration.faults.host_steps import Step, start_killed_at, steps_of_a_start
from integration.faults.outcome import in_full, noted
from integration.lab import Host, Lab, Stream, unreached
from tests.lab.overlay import assert_settled, leases

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SOME = {
    "first": (
        Step("rename", 1),
        Step("sendmsg", 3),
        Step("sendto", 9),
        Step("sendto", 20),
        Step("unlink", 1),
    ),
    "next": (Step("flock", 1), Step("sendto", 12)),
}
"""In turn: the saved lease, etcd, two of netlink, the control socket; the lock, netlink. The long tier takes all."""


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """A host whose daemon is stopped."""
    host = lab.hosts[0]
    host.daemon.kill()
    yield host
    host.daemon.kill()
    host.daemon.up()


def _forget_everything(host: Host) -> None:
    """As on the first start of a new machine, but for its lease in etcd."""
    host.ip("link del flannel.1")
    host.daemon.subnet_path.unlink(missing_ok=True)
    for directory in (host.daemon.state_dir, host.daemon.run_dir):
        shutil.rmtree(directory, ignore_errors=True)


def _assert_whole(host: Host) -> None:
    """What it left on disk can be used, or is not there."""
    for found in (
        subnet_env.read(host.daemon.subnet_path),
        state_file.load(host.daemon.state_dir, node_id=host.name),
    ):
        assert not isinstance(found, Absent) or not found.reason, found


def _left_over(host: Host) -> list[str]:
    places = (host.daemon.subnet_path.parent, host.daemon.state_dir, host.daemon.run_dir)
    return [str(path) for place in places for path in place.glob(".*.tmp")]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", ["first", "next"])
def test_daemon_killed_at_any_step_of_its_start_is_whole_after_the_next(
    lab: Lab, host: Host, start: str
) -> None:
    subnet = leases(lab)[host.name].subnet
    steps: tuple[Step, ...] = SOME[start]
    if in_full():
        if start == "first":
            _forget_everything(host)
        steps = tuple(steps_of_a_start(host))
    met = 0
    for step in steps:
        if start == "first" and host.has_link("flannel.1"):
            _forget_everything(host)
        with Stream(lab.hosts[1].containers[0], lab.hosts[2].containers[0]) as stream:
            stream.wait_flowing()
            met += (killed := start_killed_at(host, step))
            _assert_whole(host)
            began = time.monotonic()
            host.daemon.up()
            assert_settled(lab, [host])
            took = time.monotonic() - began
            assert leases(lab)[host.name].subnet == subnet, f"another subnet after {step}"
            assert _left_over(host) == [], step
            report = stream.stop()
        assert report.whole, step
        if killed:
            noted(
                "host", f"kill -9 at {step} of the {start} start",
                converged_s=took, gap_ms=report.longest_gap_ms,
            )  # fmt: skip
        host.daemon.kill()
    assert met >= len(steps) * 2 // 3
    host.daemon.up()
    assert_settled(lab)
    assert unreached(lab.containers) == ()
