"""`flanpyctl attach` and `detach`: a running container on the overlay or a named network.

Owns the wording and what root is asked for. Docker does the work, see `flanpy.docker.attach`.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.errors import UsageError
from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.model.quoting import quoted

if TYPE_CHECKING:
    from flanpy.docker.client import Docker


def attach(arguments: Namespace, host: Host) -> Exit:
    """Put a container on a network. CONFLICT for one that cannot be, NOT_FOUND for one that is not here."""
    if arguments.list:
        return _list(arguments, host)
    if arguments.container is None:
        raise UsageError("attach which container? Name one, or say --list")
    need_root("attach")
    from flanpy.docker import attach as attaching
    from flanpy.docker import our_networks
    from flanpy.docker.turn import turn

    address = _address(arguments.ip)
    with asked(host) as docker:
        network = our_networks.asked_for(docker, arguments.network or "", subnet(host))
        with turn():
            found = attaching.attach(docker, arguments.container, network, address)
    print(
        printable(f"container '{found.name}' is on {network.what}, at {found.networks.get(network.name, '')}")
    )
    return Exit.OK


def detach(arguments: Namespace, host: Host) -> Exit:
    """Take a container off a network. NOT_FOUND if it is on none, CONFLICT if it is on several and none is named."""
    need_root("detach")
    from flanpy.docker import attach as attaching
    from flanpy.docker import our_networks
    from flanpy.docker.containers import inspected, refuse_shared
    from flanpy.docker.turn import turn

    with asked(host) as docker:
        inspected(arguments.container, docker.container(arguments.container))
        flat = our_networks.overlay(docker, subnet(host))
        ours = {one.name for one in (*our_networks.named(docker), *((flat,) if flat is not None else ()))}
        with turn():
            found = inspected(arguments.container, docker.container(arguments.container))
            refuse_shared(found)
            network = _which(found.name, sorted(ours & found.plain_networks), arguments.network)
            attaching.detach(docker, found, network)
    print(printable(f"container '{found.name}' is off network '{network}'"))
    return Exit.OK


def _which(container: str, on: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in on:
            raise CommandError(
                Exit.NOT_FOUND, printable(f"container '{container}' is not on network {quoted(wanted)}")
            )
        return wanted
    if not on:
        raise CommandError(Exit.NOT_FOUND, printable(f"container '{container}' is on no network of flanpy's"))
    if len(on) > 1:
        names = ", ".join(on)
        raise CommandError(
            Exit.CONFLICT,
            printable(f"container '{container}' is on {len(on)} networks ({names}): say --network"),
        )
    return on[0]


def _list(arguments: Namespace, host: Host) -> Exit:
    if arguments.container is not None:
        raise UsageError("--list is about all containers: name none")
    from flanpy.docker import our_networks

    with asked(host) as docker:
        found = our_networks.everybody(docker, subnet(host))
    if arguments.output == "table":
        cells = ((one.container, one.network, one.address, "" if one.running else "stopped") for one in found)
        print_table(Table(("CONTAINER", "NETWORK", "ADDRESS", "STATE"), tuple(cells)))
    else:
        print_as(
            arguments.output,
            [
                {
                    "container": one.container,
                    "network": one.network,
                    "address": one.address,
                    "running": one.running,
                }
                for one in found
            ],
        )
    return Exit.OK


def need_root(command: str) -> None:
    """Raise CommandError unless root runs this."""
    if os.geteuid() != 0:
        raise CommandError(
            Exit.FAILURE, f"{command} needs root, as it changes a container's network: run it with sudo"
        )


@contextmanager
def asked(host: Host) -> Iterator[Docker]:
    """Open this host's Docker."""
    from flanpy.docker.client import Docker

    docker = Docker(host.effective.docker.socket)
    try:
        yield docker
    finally:
        docker.close()


def subnet(host: Host) -> IPv4Network | None:
    """Return this host's subnet of the overlay, by subnet.env."""
    env = subnet_env.read(host.effective.subnet_file)
    return None if isinstance(env, Absent) else env.subnet


def _address(text: str | None) -> IPv4Address | None:
    if text is None:
        return None
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise UsageError(f"--ip {quoted(text)} is no IPv4 address") from error
