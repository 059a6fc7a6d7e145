"""A first start that takes longer than its unit allows: flanpyd asks systemd for time, and is let work (M9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.etcd.peers import simulated_peers, write_peers
from tests.systemd.conftest import installed
from tests.systemd.looks import DAEMON

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

NETWORK = "10.128.0.0/9"
PEERS = 15_000
ALLOWED_S = 10
LONGEST_S = 180.0


def test_m9_first_start_among_many_peers_outlives_the_units_timeout(layer: Path) -> None:
    with installed(layer, hosts=1) as lab:
        (host,) = lab.hosts
        lab.configure({"Network": NETWORK, "SubnetLen": 24, "Backend": {"Type": "vxlan"}})
        write_peers(lab.etcd.api, simulated_peers(PEERS, network=NETWORK))
        host.write(f"/etc/systemd/system/{DAEMON}.d/test.conf", f"[Service]\nTimeoutStartSec={ALLOWED_S}\n")
        host.switch_on()
        host.wait_booted(deadline=LONGEST_S)
        seen = host.unit(
            DAEMON, "NRestarts", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"
        )
        begun, ready = (int(seen[f"{name}TimestampMonotonic"]) for name in ("InactiveExit", "ActiveEnter"))
        print(f"{PEERS} peers: ready after {(ready - begun) / 1e6:.1f} s, {ALLOWED_S} s are allowed")
        assert seen["NRestarts"] == "0", host.journal(DAEMON)
        assert host.failed_units() == []
        assert host.is_active("docker.service")
        assert ready - begun > ALLOWED_S * 1e6
