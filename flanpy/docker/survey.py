"""One look at Docker for a command: its API, daemon.json and the ports of its bridge, never starting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flanpy.docker import dockerd
from flanpy.docker.client import Docker, silent
from flanpy.docker.facts import DockerFacts
from flanpy.docker.local import look_of, told_settings
from flanpy.docker.verdict import DockerLook, Silence, Silent
from flanpy.docker.wanted import Wanted
from flanpy.errors import DockerUnreachable


def look(socket: Path, config_file: Path, wanted: Wanted) -> DockerLook:
    """Everything that one look finds out."""
    told = told_settings(config_file)
    found = _found(socket, told)
    return look_of(found, told, wanted)


def _found(socket: Path, told: dict[str, Any]) -> DockerFacts | Silent:
    if dockerd.starts_docker(socket, dockerd.running_pid(told)):
        return Silent(Silence.NOT_RUNNING, "Docker does not run; systemd starts it when its socket is used")
    docker = Docker(socket)
    try:
        return docker.look()
    except DockerUnreachable as error:
        return silent(error)
    finally:
        docker.close()
