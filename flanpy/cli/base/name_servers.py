"""The name servers that `flanpyctl docker apply --dns` writes, from the settings and the host's resolv.conf."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.docker.name_servers import MOST_ASKED, NameServers

USUAL: Final = "169.254.53.53"
"""The resolver's address in all our pages: what `apply` wrote is known by it where dns-listen is off since."""

RESOLV_CONFS: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""Where the host's servers stand; the second one has those behind systemd's own, as Docker looks for them."""

_DOCKER_ASKS: Final = 53


def name_servers(host: Host, *, asked_for: bool) -> NameServers:
    """Return the servers for daemon.json. Raises CommandError where the resolver is asked for and cannot be named."""
    listen = host.effective.dns_listen
    if not asked_for:
        return NameServers(str(listen.host) if listen is not None else USUAL)
    if listen is None:
        raise CommandError(
            Exit.REFUSED,
            f"--dns needs flanpyd's resolver, and dns-listen is off: set FLANPYD_DNS_LISTEN={USUAL}:53 and restart"
            " flanpyd",
        )
    if listen.port != _DOCKER_ASKS:
        raise CommandError(
            Exit.REFUSED, f"dns-listen is {listen}, and Docker asks port {_DOCKER_ASKS} only: set that port"
        )
    resolver = str(listen.host)
    return NameServers(resolver, _hosts_own(resolver), asked_for=True)


def refuse_without_file(arguments: Namespace) -> None:
    """Raises CommandError for --dns in network mode, which leaves daemon.json alone."""
    if getattr(arguments, "dns", False):
        raise CommandError(
            Exit.REFUSED,
            '--dns writes daemon.json, which network mode leaves alone: put "dns" into it by hand, or start containers'
            " with --dns",
        )


def _hosts_own(resolver: str) -> tuple[str, ...]:
    """Return the host's servers that containers can ask: a loopback address is their own."""
    from flanpy.names.resolver.upstreams import read_resolv_conf

    for path in RESOLV_CONFS:
        with suppress(OSError, ValueError):
            found = read_resolv_conf(path.read_text(), [ip_address(resolver)])
            reached = [str(one.address) for one in found if not one.address.is_loopback]
            if reached:
                return tuple(reached[: MOST_ASKED - 1])
    return ()
