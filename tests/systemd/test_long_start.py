"""A first start that takes longer than its unit allows: flanpyd asks systemd for time, and is let work (M9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.etcd.peers import simulated_peers, write_peers
from integration.hosts.systemd import SystemdHost
from tests.systemd.conftest import installed
from tests.systemd.looks import DAEMON

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

NETWORK = "10.128.0.0/9"
PEERS = 30_000
ALLOWED_S = (10, 5, 3)
"""Limits that are tried in turn: a quick machine starts within the first of them."""
LONGEST_S = 240.0


def test_m9_first_start_among_many_peers_outlives_the_units_timeout(layer: Path) -> None:
    with installed(layer, hosts=1) as lab:
        (host,) = lab.hosts
        lab.configure({"Network": NETWORK, "SubnetLen": 24, "Backend": {"Type": "vxlan"}})
        write_peers(lab.etcd.api, simulated_peers(PEERS, network=NETWORK))
        took = dict.fromkeys(ALLOWED_S, 0.0)
        for allowed in ALLOWED_S:
            _limit(host, allowed)
            if host.is_on:
                _start_anew(host)
            else:
                host.switch_on()
                host.wait_booted(deadline=LONGEST_S)
            assert host.unit(DAEMON, "NRestarts")["NRestarts"] == "0", host.journal(DAEMON)
            assert host.failed_units() == []
            took[allowed] = _seconds_to_ready(host)
            if took[allowed] > allowed:
                break
        print(f"{PEERS} peers: seconds to ready by those allowed: {took}")
        assert took[allowed] > allowed
        assert host.is_active("docker.service")


def _limit(host: SystemdHost, seconds: int) -> None:
    host.write(f"/etc/systemd/system/{DAEMON}.d/test.conf", f"[Service]\nTimeoutStartSec={seconds}\n")


def _start_anew(host: SystemdHost) -> None:
    """Start once more as on a new host: neither a saved lease nor anything in the kernel."""
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "stop", DAEMON)
    host.run("ip", "link", "del", "flannel.1")
    host.path("/var/lib/flanpy/lease.json").unlink()
    host.run("systemctl", "start", DAEMON)


def _seconds_to_ready(host: SystemdHost) -> float:
    seen = host.unit(DAEMON, "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    begun, ready = (int(seen[f"{name}TimestampMonotonic"]) for name in ("InactiveExit", "ActiveEnter"))
    return (ready - begun) / 1e6
