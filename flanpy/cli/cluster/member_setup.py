"""Setting a host up as a member, for init and join: flanpyd's settings, its start, Docker, the end of the work."""

from __future__ import annotations

import socket
from argparse import Namespace
from dataclasses import replace
from typing import Final

from flanpy.cli.base.host import Host
from flanpy.cli.cluster import places, steps
from flanpy.cli.cluster.places import Belonging
from flanpy.cli.cluster.steps import Steps
from flanpy.errors import UsageError

_LONGEST: Final = 253


def host_name(arguments: Namespace) -> str:
    """Return this host's name as a member. Raises `UsageError` for one that no list can show."""
    name = str(arguments.name or socket.gethostname())
    if not name.isprintable() or not name.strip() or len(name) > _LONGEST or "/" in name:
        raise UsageError(f"--name {name[:_LONGEST]!r} cannot be used: write a name such as web-2")
    return name


def start_host(steps_: Steps, arguments: Namespace, part: Belonging) -> None:
    """Let flanpyd follow the store, wait until it is ready, and give Docker the subnet."""
    before = steps_.changed
    steps.set_variable(steps_, places.HOST_SETTINGS, places.ENDPOINTS, ",".join(part.endpoints))
    steps.set_variable(steps_, places.HOST_SETTINGS, places.FOLLOW, "true")
    steps.start(steps_, "flanpyd.service", again=before or steps_.changed)
    steps.start(steps_, "flanpy-renew.timer", again=False)
    host = Host(arguments)
    steps.wait_ready(steps_, host, arguments.timeout)
    steps.wire_docker(steps_, host, arguments)
    if not steps_.dry and not part.ready:
        replace(part, ready=True).save()
