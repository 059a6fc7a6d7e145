"""P15 and failure 11: daemons that start while etcd is away, hangs, or has changed meanwhile."""

from __future__ import annotations

import json
import time

import pytest

from integration.lab import Host, Lab, simulated_peers, write_peers
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import (
    MOST_LINES,
    PEER,
    assert_followed,
    conditions,
    delete,
    lease_value,
    lines,
    own_key,
    put,
    ring,
    route_to,
    undisturbed,
)
from tests.lab.overlay import assert_settled, eventually, standing

pytestmark = pytest.mark.lab


def test_p15_lease_deleted_while_the_daemon_was_down_is_pruned_by_the_first_listing(lab: Lab) -> None:
    host = lab.hosts[0]
    put(lab, PEER, lease_value("10.99.16.240"))
    assert_settled(lab)
    with undisturbed(*ring(lab)):
        host.daemon.stop()
        delete(lab, PEER)
        assert route_to(host, PEER), "the data plane outlives its daemon"
        host.daemon.up()
        assert_settled(lab)
    assert not route_to(host, PEER)


def newest_leases(host: Host) -> dict[str, str]:
    """Return the leases whose routes the host would doubt after a restart, as its lease file has them."""
    saved = json.loads((host.daemon.state_dir / "lease.json").read_text())
    found: dict[str, str] = saved.get("newest_leases", {})
    return found


def test_p15_nothing_is_deleted_when_etcd_cannot_be_reached_at_start(lab: Lab) -> None:
    host = lab.hosts[0]
    put(lab, PEER, lease_value("10.99.16.240"))
    assert_settled(lab)
    before = standing(lab, host)
    # So new a route is doubted where etcd is silent; an older one has nothing to fear.
    eventually(lambda: not newest_leases(host), "no route is new any more", deadline=30)
    with undisturbed(*ring(lab)):
        host.daemon.kill()
        delete(lab, PEER)
        with lab.faults.drop_on_host(host, "tcp sport 2379"):
            took = host.daemon.up()
            print(f"ready on the lease from disk after {took:.2f} s")
            time.sleep(3)
            assert standing(lab, host) == before
            assert conditions(host)["LeaseValid"]["reason"] == "FromDisk"
            assert host.daemon.is_ready()
        assert_settled(lab, deadline=20)
    assert not route_to(host, PEER)


def test_failure_11_daemon_started_long_before_etcd_comes_up_with_it(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    write_peers(lab.etcd.api, simulated_peers(3, network="10.50.0.0/16"))
    lab.etcd.kill()
    for host in lab.hosts:
        host.daemon.launch()
    time.sleep(8)
    assert all(host.daemon.running for host in lab.hosts)
    for host in lab.hosts:
        eventually(lambda host=host: host.daemon.answers("/healthz"), f"{host.name} answers")  # type: ignore[misc]
        assert host.daemon.fetch("/readyz")[0] == 503
        assert lines(host) <= MOST_LINES, host.daemon.log_tail(30)
    lab.etcd.start()
    for host in lab.hosts:
        host.daemon.wait_ready()
    assert_settled(lab, deadline=10)
    one, two = lab.attach_containers()
    assert one.ping(two).ok


@pytest.mark.parametrize("state", ["frozen", "killed"])
def test_failure_11_etcd_lost_at_any_moment_of_the_start_delays_it_only(lab: Lab, state: str) -> None:
    """The first list, the first read of the own lease and its first renewal each fail in some of the turns."""
    host = lab.hosts[0]
    key = own_key(lab, host)
    away, back = (lab.etcd.freeze, lab.etcd.thaw) if state == "frozen" else (lab.etcd.kill, lab.etcd.start)
    for delay in (0.30, 0.36, 0.42, 0.48, 0.54, 0.60):
        host.daemon.kill()
        host.daemon.launch()
        time.sleep(delay)  # not a wait for anything: the moment of the fault
        away()
        time.sleep(1.0)
        back()
        host.daemon.wait_ready(deadline=30)
        assert_followed(lab)
        assert own_key(lab, host) == key
        eventually(lambda: conditions(host)["LeaseValid"]["reason"] == "Leased", "confirmed", deadline=20)
