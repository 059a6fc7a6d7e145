"""The links of containers, for cleanup: shown as commands, taken away by way of Docker.

Docker's library is loaded only where there are links.
"""

from __future__ import annotations

import sys

from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.docker.turn import leave, turn
from flanpy.errors import DockerError
from flanpy.links import record


def links_left() -> list[str]:
    """Return the links of this host as shell lines. Raises HostError."""
    return [f"flanpyctl unlink {one.first.name} {one.second.name}" for one in record.load()]


def remove_links(host: Host, lines: list[str]) -> int:
    """Take them away; return how many stay, with the reason told."""
    if not lines:
        return 0
    from flanpy.docker.client import Docker
    from flanpy.links.standing import part_all

    docker = Docker(host.settings.docker.socket)
    try:
        with turn():
            part_all(docker)
            leave()
    except DockerError as error:
        print(printable(f"links of containers stay: {error}"), file=sys.stderr)
        return len(lines)
    finally:
        docker.close()
    return 0
