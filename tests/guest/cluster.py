"""Hosts of the backend wireguard whose daemons and containers run."""

from __future__ import annotations

from integration.lab import NETWORK, Lab
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually


def encrypted_hosts(build_lab: BuildLab, number: int) -> Lab:
    """Return the lab once all have settled, and the first container reaches the last."""
    lab = build_lab(number)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "wireguard"}})
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab, deadline=30)
    first, *_, last = lab.containers
    eventually(lambda: first.ping(last).ok, "they reach each other", deadline=30)
    return lab
