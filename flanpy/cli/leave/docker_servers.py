"""The resolver in Docker's daemon.json, for cleanup: shown as a line, taken out without a restart of Docker."""

from __future__ import annotations

import sys

from flanpy.cli.base.host import Host
from flanpy.cli.base.name_servers import name_servers
from flanpy.cli.base.output import printable
from flanpy.docker import servers_left
from flanpy.errors import DockerError


def resolver_left(host: Host) -> list[str]:
    """Return a line if `docker apply --dns` wrote the file's `dns`. A file that cannot be read has nothing of ours."""
    file, servers = host.settings.docker.config_file, name_servers(host, asked_for=False)
    try:
        changed = servers_left.left(file, servers).changes
    except DockerError:
        return []
    return [f"take {servers.resolver} out of dns in {file}"] if changed else []


def remove_resolver(host: Host, lines: list[str]) -> int:
    """Take it out; return how many lines stay, with the reason told."""
    if not lines:
        return 0
    file = host.settings.docker.config_file
    try:
        servers_left.forget(file, name_servers(host, asked_for=False))
    except DockerError as error:
        print(printable(f"Docker goes on asking our resolver: {error}"), file=sys.stderr)
        return len(lines)
    print("Docker asks its former name servers once it is restarted; containers from their next start on")
    return 0
