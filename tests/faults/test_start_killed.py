"""kill -9 at any step of a start: nothing is half written, nobody else notices, and the next start loses nothing.

The first start makes everything; the next finds all as a daemon left it. Some steps, spread over all, in every run; the
long tier takes each of them, in shards.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from flanpy.host import state_file, subnet_env
from flanpy.host.absent import Absent
from integration.drivers.matrix.outcome import in_full, noted
from integration.faults.means.steps import Step, spread, start_killed_at, steps_of_a_start
from integration.lab import Host, Lab, Stream, unreached
from tests.lab.overlay import assert_settled, eventually, leases

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SHARDS = range(6) if in_full() else range(1)
SOME = 5
"""Steps of each start in a run that is not the long one."""


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """A host whose daemon is stopped."""
    host = lab.hosts[0]
    host.daemon.kill()
    yield host
    host.daemon.kill()
    host.daemon.up()


def _forget_everything(host: Host) -> None:
    """Forget everything, as on the first start of a new machine, but for the lease in etcd."""
    if host.has_link("flannel.1"):
        host.ip("link del flannel.1")
    host.daemon.subnet_path.unlink(missing_ok=True)
    for directory in (host.daemon.state_dir, host.daemon.run_dir):
        shutil.rmtree(directory, ignore_errors=True)


def _assert_whole(host: Host) -> None:
    """Assert that each file it left on disk can be used, or is not there."""
    for found in (
        subnet_env.read(host.daemon.subnet_path),
        state_file.load(host.daemon.state_dir, node_id=host.name),
    ):
        assert not isinstance(found, Absent) or not found.reason, found


def _left_over(host: Host) -> list[str]:
    places = (host.daemon.subnet_path.parent, host.daemon.state_dir, host.daemon.run_dir)
    return [str(path) for place in places for path in place.glob(".*.tmp")]


def _steps(host: Host, shard: int) -> list[Step]:
    all_of_them = steps_of_a_start(host)
    return all_of_them[shard :: len(SHARDS)] if in_full() else spread(all_of_them, SOME)


def _survived(lab: Lab, host: Host, step: Step, subnet: str) -> tuple[bool, float]:
    """Kill it there and start it again: whether it came so far, and the seconds until all stood."""
    killed = start_killed_at(host, step)
    _assert_whole(host)
    began = time.monotonic()
    host.daemon.up()
    assert_settled(lab, [host])
    took = time.monotonic() - began
    assert leases(lab)[host.name].subnet == subnet, f"another subnet after {step}"
    # Other files may be written just now; what a killed writer left would stay.
    eventually(lambda: _left_over(host) == [], lambda: (step, _left_over(host)))
    host.daemon.kill()
    return killed, took


@pytest.mark.timeout(1700)
@pytest.mark.parametrize("shard", SHARDS)
@pytest.mark.parametrize("start", ["first", "next"])
def test_daemon_killed_at_any_step_of_its_start_is_whole_after_the_next(
    lab: Lab, host: Host, start: str, shard: int, capsys: pytest.CaptureFixture[str]
) -> None:
    subnet = leases(lab)[host.name].subnet
    if start == "first":
        _forget_everything(host)
    steps = _steps(host, shard)
    met = 0
    with Stream(lab.hosts[1].containers[0], lab.hosts[2].containers[0]) as stream:
        stream.wait_flowing()
        for number, step in enumerate(steps, 1):
            if start == "first":
                _forget_everything(host)
            stream.mark()
            killed, took = _survived(lab, host, step, subnet)
            met += killed
            if killed:
                noted(
                    "host", f"kill -9 at {step} of the {start} start",
                    converged_s=took, gap_ms=stream.longest_gap_ms,
                )  # fmt: skip
            if in_full() and number % 10 == 0:
                with capsys.disabled():
                    print(f"{start} start, shard {shard}: {number} of {len(steps)} steps, {met} met")
        assert stream.stop().whole
    assert met >= len(steps) * 2 // 3
    host.daemon.up()
    assert_settled(lab)
    assert unreached(lab.containers) == ()
