"""`flanpyctl link`, `unlink` and `docker links`: two containers of this host joined by a pair of devices.

Owns the wording, and which addresses a link may not have: those that would hide somebody else from its containers.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.cli.base.wording import plural
from flanpy.cli.containers.attach import asked, need_root
from flanpy.errors import UsageError
from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.quoting import quoted

if TYPE_CHECKING:
    from flanpy.docker.client import Docker
    from flanpy.links.standing import LinkState


def link(arguments: Namespace, host: Host) -> Exit:
    """Link two containers. CONFLICT where they cannot be, NOT_FOUND for one that is not here."""
    need_root("link")
    if arguments.list:
        return _list(arguments, host)
    from flanpy.docker.turn import turn
    from flanpy.links import standing

    names = _two(arguments, "link")
    wanted = _addresses(arguments.addresses)
    with asked(host) as docker:
        for name in names:
            docker.container(name)  # no lock is taken where there is no Docker
        _refuse_hidden(docker, wanted, host)
        with turn():
            made = standing.link(docker, names, wanted)
    first, second = made.ends
    ends = f"'{first.name}' at {first.address} and '{second.name}' at {second.address}"
    print(printable(f"linked {ends}, by {made.device} in each"))
    return Exit.OK


def unlink(arguments: Namespace, host: Host) -> Exit:
    """Take a link away, or with --all every one. NOT_FOUND without one."""
    need_root("unlink")
    from flanpy.docker.turn import turn
    from flanpy.links import record, standing

    if arguments.all:
        if arguments.containers:
            raise UsageError("--all is about all links: name no container")
        if not record.load():
            print("no containers are linked")
            return Exit.OK
        with asked(host) as docker, turn():
            gone = standing.part_all(docker)
        print(f"{plural(len(gone), 'link')} removed")
        return Exit.OK
    names = _two(arguments, "unlink")
    with asked(host) as docker:
        docker.container(names[0])
        with turn():
            found = standing.part(docker, names)
    print(printable(f"unlinked {found}"))
    return Exit.OK


def links(arguments: Namespace, host: Host) -> Exit:
    """Bring back the links of containers that started again; with `--follow` as long as there are any."""
    need_root("docker links")
    from flanpy.docker.turn import turn
    from flanpy.links import following, record, standing

    told: dict[str, str] = {}

    def wanted() -> bool:
        return bool(record.load())

    def look() -> None:
        with asked(host) as docker, turn():
            _tell(standing.restore(docker), told)

    if arguments.follow:
        following.follow(host.effective.docker.socket, wanted, look)
        return Exit.OK
    if wanted():
        look()
    if failed := [text for text in told.values() if text]:
        raise CommandError(Exit.FAILURE, printable("; ".join(failed)))
    return Exit.OK


def _tell(found: tuple[LinkState, ...], told: dict[str, str]) -> None:
    """Print what was done, and each failure once."""
    from flanpy.links.standing import LinkStep

    for state in found:
        failure = state.reason if state.step is LinkStep.FAILED else ""
        if state.step is LinkStep.RESTORED:
            print(printable(f"linked {state.link} again"), flush=True)
        elif state.step is LinkStep.GONE:
            print(printable(f"forgot the link of {state.link}: {state.reason}"), flush=True)
        elif failure and told.get(state.link.device) != failure:
            print(printable(f"{state.link} are not linked: {failure}"), file=sys.stderr, flush=True)
        told[state.link.device] = failure


def _list(arguments: Namespace, host: Host) -> Exit:
    if arguments.containers:
        raise UsageError("--list is about all links: name no container")
    from flanpy.links import record, standing

    found: tuple[LinkState, ...] = ()
    if record.load():
        with asked(host) as docker:
            found = standing.states(docker)
    if arguments.output != "table":
        print_as(arguments.output, [_row(state) for state in found])
        return Exit.OK
    titles = ("CONTAINER", "ADDRESS", "CONTAINER", "ADDRESS", "DEVICE", "STATE")
    print_table(Table(titles, tuple(_cells(state) for state in found)))
    return Exit.OK


def _cells(state: LinkState) -> tuple[str, ...]:
    first, second = state.link.ends
    said = f"{state.step.value}: {state.reason}" if state.reason else state.step.value
    return (first.name, str(first.address), second.name, str(second.address), state.link.device, said)


def _row(state: LinkState) -> dict[str, Any]:
    ends = [{"container": end.name, "id": end.id, "address": str(end.address)} for end in state.link.ends]
    return {"ends": ends, "device": state.link.device, "state": state.step.value, "reason": state.reason}


def _two(arguments: Namespace, command: str) -> tuple[str, str]:
    match arguments.containers:
        case [first, second]:
            return (first, second)
        case _:
            raise UsageError(f"{command} takes two containers, such as: flanpyctl {command} web db")


def _addresses(texts: list[str] | None) -> tuple[IPAddress, IPAddress] | None:
    if texts is None:
        return None
    found = [_address(text) for text in texts]
    first, second = found
    if first.version != second.version or first == second:
        raise UsageError(f"--addresses {first} {second}: give two addresses of one family")
    return first, second


def _address(text: str) -> IPAddress:
    try:
        found = ip_address(text)
    except ValueError as error:
        raise UsageError(f"--addresses {quoted(text)} is no IP address") from error
    if found.is_multicast or found.is_unspecified or found.is_loopback:
        raise UsageError(f"--addresses {found} is no address that a container may have")
    return found


def _refuse_hidden(docker: Docker, wanted: tuple[IPAddress, IPAddress] | None, host: Host) -> None:
    """Raise CommandError for an address of the overlay or of a named network: its real holder would be hidden."""
    for address in wanted or ():
        for what, range_ in _ranges(docker, host):
            if address.version == range_.version and address in range_:
                raise CommandError(
                    Exit.CONFLICT, f"{address} is an address of {what}, {range_}: choose one of no network"
                )


def _ranges(docker: Docker, host: Host) -> list[tuple[str, IPNetwork]]:
    from flanpy.docker import our_networks

    found: list[tuple[str, IPNetwork]] = [(one.what, one.subnet) for one in our_networks.named(docker)]
    env = subnet_env.read(host.effective.subnet_file)
    if not isinstance(env, Absent):
        found += [("the overlay", one) for one in (env.network, env.ipv6_network) if one is not None]
    return found
