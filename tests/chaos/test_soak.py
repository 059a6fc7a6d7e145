"""A short soak of a real daemon: only what runs away is found in so little time; `make soak` looks closer."""

from __future__ import annotations

import pytest

from integration.drivers.soak.run import soak
from integration.drivers.soak.trend import Bound

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

SLACK = {"heap": 6, "fds": 48, "threads": 4, "netlink": 2, "etcd_leases": 3}
COARSE = tuple(Bound(name, "", slack, 0) for name, slack in SLACK.items())
"""Not PSS: it grows when other Pythons, with whom pages were shared, end. Some 30 sockets come and go with the
TCP probes of peers that do not exist; one that stayed for every change of a lease would be 288."""


def test_nothing_runs_away_while_peers_come_and_go() -> None:
    found = soak(minutes=0.4, peers=300, pace=0.04, bounds=COARSE)
    assert not found.growing, found.growing
    assert found.changes > 200
