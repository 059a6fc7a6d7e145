"""Hosts with a real dockerd each, on one machine: every host has a network and a mount namespace of its own.

with DockerLab(hosts=2) as lab:
    lab.configure()
    lab.start_daemons()                     # flanpyd, in the same namespaces
    lab.start_engines()                     # dockerd with bip and mtu of subnet.env
    web = lab.hosts[0].engine.run_container("web", "-p", "8080:80")
    job = lab.hosts[1].engine.run_container("job")
    assert job.as_end().ping(web.as_end()).ok
"""

from integration.hosts.engines.container import EngineContainer, addresses_in
from integration.hosts.engines.engine import Engine
from integration.hosts.engines.host import DockerHost
from integration.hosts.engines.image import IMAGE, SERVE
from integration.hosts.engines.lab import DockerLab
from integration.hosts.engines.releases import FETCHED, SYSTEM, Release, made_by_hand, release

__all__ = [
    "FETCHED",
    "IMAGE",
    "SERVE",
    "SYSTEM",
    "DockerHost",
    "DockerLab",
    "Engine",
    "EngineContainer",
    "Release",
    "addresses_in",
    "made_by_hand",
    "release",
]
