"""Connects the Docker watcher with the rest: what the overlay asks of Docker is what subnet.env says.

Not the world of the last pass: Docker is told by that file, so it is judged by it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.docker.verdict import Mode
from flanpy.docker.wanted import Wanted, wanted
from flanpy.docker.watcher import DockerReport, DockerWatcher
from flanpy.errors import DockerError
from flanpy.host import subnet_env
from flanpy.host.absent import Absent


def docker_watcher(settings: Settings, clock: Clock, note: Callable[[DockerReport], None]) -> DockerWatcher:
    """The watcher of one daemon."""
    return DockerWatcher(
        socket=settings.docker.socket,
        config_file=settings.docker.config_file,
        mode=Mode(settings.docker.mode),
        accepts=settings.filter.iptables_forward_rules,
        wanted=lambda: wanted_of(settings.subnet_file),
        note=note,
        clock=clock,
    )


def wanted_of(path: Path) -> Wanted | None:
    """Return the file's demands on Docker; None without a subnet that Docker could have."""
    env = subnet_env.read(path)
    if isinstance(env, Absent):
        return None
    try:
        return wanted(env.network, env.subnet, env.mtu, ipmasq=env.ipmasq, subnet6=env.ipv6_subnet)
    except DockerError:
        return None
