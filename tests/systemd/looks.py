"""The questions that the tests of deployment ask of a host again and again, in the words of systemd and Docker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.lab import ETCD_PREFIX, Container, LabError, Stream
from tests.lab.busy_side import beside_the_overlay
from tests.lab.overlay import eventually

DAEMON = "flanpyd.service"
DEADLINE_S = 15.0
MOST_GAP_MS = 1000.0
SUBNET_ENV = "/run/flannel/subnet.env"


def subnet_env(host: SystemdHost) -> dict[str, str]:
    """Return the variables of subnet.env."""
    return dict(line.split("=", 1) for line in host.read(SUBNET_ENV).split())


def condition(host: SystemdHost, name: str) -> str:
    """Status and reason of a condition, as flanpyctl tells them."""
    said = json.loads(host.run("flanpyctl", "status", "-o", "json", check=False).stdout or "{}")
    found: dict[str, str] = next((one for one in said.get("conditions", ()) if one["type"] == name), {})
    return f"{found.get('status')} {found.get('reason')}"


def main_pid(host: SystemdHost) -> int:
    """The daemon's pid on the host; 0 while it does not run."""
    return int(host.unit(DAEMON, "MainPID")["MainPID"])


def wait_ready(host: SystemdHost) -> None:
    """Wait until systemd knows the daemon to be ready."""
    eventually(lambda: host.is_active(DAEMON), lambda: host.journal(DAEMON, lines=20), deadline=DEADLINE_S)


def set_network(lab: SystemdLab, **backend: Any) -> None:
    """Change the network's backend in etcd."""
    config = {"Network": "10.50.0.0/16", "Backend": backend}
    lab.etcd.api.put(f"{ETCD_PREFIX}/config", json.dumps(config))


def reach(one: Container, two: Container) -> bool:
    """Report whether both answer each other's ping."""
    return one.ping(two, wait=2).ok and two.ping(one, wait=2).ok


def wait_reach(one: SystemdHost, two: SystemdHost, name: str = "c1") -> None:
    """Wait until the containers of this name on two hosts reach each other, by whatever addresses they have then."""

    def holds() -> bool:
        return reach(one.docker.container(name), two.docker.container(name))

    eventually(
        holds, lambda: f"{_where(one, name)} and {_where(two, name)} reach each other", deadline=DEADLINE_S
    )


def _where(host: SystemdHost, name: str) -> str:
    with suppress(LabError, KeyError):
        return f"{host.name} {host.docker.container(name).address} ({' '.join(subnet_env(host).values())})"
    return f"{host.name} without {name}"


@contextmanager
def unbroken(lab: SystemdLab, one: Container, two: Container) -> Iterator[None]:
    """A stream between two containers must flow without a gap; what the machine itself stood still is not counted.

    That is what a probe shows that has nothing to do with the overlay.
    """
    first, second = lab.hosts[:2]
    with Stream(one, two) as stream, beside_the_overlay(first, second) as underlay:
        stream.wait_flowing()
        stream.mark()
        underlay.mark()
        yield
        stream.wait_flowing()
        gap, stood_still = stream.longest_gap_ms, underlay.longest_gap_ms
        report = stream.stop()
    assert report.whole
    assert gap < MOST_GAP_MS + stood_still, f"{gap:.0f} ms, the machine {stood_still:.0f} ms"
