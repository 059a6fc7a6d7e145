"""Failure 4: fifty daemons started at one instant on sixty free subnets."""

from __future__ import annotations

import time

import pytest

from integration.lab import simulated_peers
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import own_keys, put_config
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

HOSTS = 50
DEADLINE_S = 200.0
"""Fifty starts cost two cores half a minute, and others use them too."""


def test_failure_04_fifty_daemons_at_one_instant_get_fifty_subnets(build_lab: BuildLab) -> None:
    lab = build_lab(HOSTS)
    put_config(lab, SubnetMin="10.50.1.0", SubnetMax="10.50.60.0")
    began = time.monotonic()
    for host in lab.hosts:
        host.daemon.launch(
            "--probe=false"
        )  # among fifty, probes fill the neighbour table, which is the machine's
    eventually(
        lambda: len(own_keys(lab)) == HOSTS, lambda: f"{len(own_keys(lab))} have one", deadline=DEADLINE_S
    )
    print(f"{HOSTS} leases after {time.monotonic() - began:.1f} s")
    for host in lab.hosts:
        host.daemon.wait_ready(deadline=DEADLINE_S)
    print(f"{HOSTS} ready after {time.monotonic() - began:.1f} s")

    free = {peer.key for peer in simulated_peers(60, network="10.50.0.0/16", first=1)}
    assert set(own_keys(lab).values()) <= free
    assert len(set(own_keys(lab).values())) == HOSTS
    assert all(host.daemon.running and host.daemon.starts == 1 for host in lab.hosts)
    assert_settled(lab, lab.hosts[:3], deadline=30)
    one, two = lab.hosts[0].attach_container(), lab.hosts[-1].attach_container()
    eventually(lambda: one.ping(two).ok, "their containers reach each other", deadline=DEADLINE_S)
