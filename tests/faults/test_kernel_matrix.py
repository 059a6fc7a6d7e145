"""Each kernel object we own, deleted, changed, flushed or doubled by others, under each backend: it is whole at once.

One row of the matrix is a line of shell of somebody else. A stream runs all the while: it must come whole, and its
longest gap since the fault is noted. Each row must bite: the daemon has counted a pass since.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from integration.drivers.matrix.outcome import noted
from integration.faults import objects
from integration.faults.fault import Fault, struck
from integration.lab import Host, Lab, Stream, unreached
from tests.lab.overlay import assert_settled, backend_type, eventually, metric_sum, standing, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

HEALED_S = 10.0
CALM_S = 0.25


@pytest.fixture(scope="module", params=("host-gw", "udp", "vxlan"))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(backend: str) -> Iterator[Lab]:
    """Two hosts with a container each."""
    with Lab(2) as lab:
        lab.configure(backend=backend)
        lab.start_daemons()
        lab.attach_containers()
        assert_settled(lab)
        _reach_each_other(lab)
        yield lab


def _reach_each_other(lab: Lab) -> None:
    """Wait until they do: which peers a tunnel leads to is in no kernel table that a settled host is judged by."""
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=HEALED_S)


def _strike(lab: Lab, host: Host, fault: Fault, stream: Stream) -> None:
    before, passes = standing(lab, host), _changes(host)
    stream.mark()
    began = time.monotonic()
    with struck(fault, lab, host=host):
        pass
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=HEALED_S)
    took = time.monotonic() - began
    eventually(lambda: _changes(host) > passes, f"{fault.name} did not bite", deadline=HEALED_S)
    stream.wait_flowing(deadline=20)
    time.sleep(CALM_S)  # what was healed must stay so: a second look
    assert standing(lab, host) == before, fault.name
    noted("kernel", f"{backend_type(lab)}: {fault.title}", gap_ms=stream.longest_gap_ms, converged_s=took)


def _changes(host: Host) -> float:
    """Changes that the daemon made to the kernel so far."""
    return metric_sum(host, "flanpy_kernel_operations_total")


@pytest.mark.timeout(900)
def test_every_object_is_whole_again_after_every_fault_and_the_stream_comes_whole(
    whole: Lab, backend: str
) -> None:
    host, other = whole.hosts
    with Stream(other.containers[0], host.containers[0]) as stream:
        stream.wait_flowing()
        for fault in (one for one in objects.FAULTS if one.heals and backend in one.fabrics):
            try:
                _strike(whole, host, fault, stream)
            except AssertionError as error:
                raise AssertionError(f"{fault.name}: {error}") from error
        report = stream.stop()
    assert report.whole
    assert_settled(whole)
    _reach_each_other(whole)
