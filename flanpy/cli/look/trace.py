"""`flanpyctl trace`: a packet's way through this host. `-o json` is `trace.hop.Walk.as_json`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.hosts import answers
from flanpy.cli.base.output import print_as, printable
from flanpy.cli.base.screen import Tone, mark, say
from flanpy.cli.base.wording import plural
from flanpy.errors import ConfigError, UsageError
from flanpy.model.networks.links import parse_port
from flanpy.trace.hop import Hop, HopVerdict, Walk
from flanpy.trace.read import Reading
from flanpy.trace.seen import Direction, Seen
from flanpy.trace.walk import walk

_TUNNEL: Final = "tunnel.json"  # flanpy.host.tunnel_file, which would import the log
_MARKS = {HopVerdict.PASSES: "ok", HopVerdict.HARMS: "HARM", HopVerdict.DIES: "DIES", HopVerdict.UNKNOWN: "?"}
_TONES = {HopVerdict.HARMS: "\x1b[33m", HopVerdict.DIES: "\x1b[31m"}


def show(arguments: Namespace, host: Host) -> Exit:
    """Read, walk, print; UNHEALTHY if the packet would die or be harmed."""
    source = _address("--from", arguments.source) if arguments.source else None
    destination, network = _destination(arguments.address, host, source)
    assumed = _source_on(network, destination, host) if network and source is None else None
    if source is not None and source.version != destination.version:
        raise UsageError(f"--from {source} and {destination} are of two families: give two of one")
    seen = Reading(host.control.get, host.settings.run_dir / _TUNNEL).look(destination, source or assumed)
    if assumed is not None:
        seen = replace(seen, assumed=f"as a container of this host on '{network}'")
    seen = _with_port(seen, arguments.port)
    networks = seen.overlay.networks
    if networks and not seen.named_bridge and not any(destination in network for network in networks):
        names = ", ".join(map(str, networks))
        raise CommandError(
            Exit.NOT_FOUND, f"{destination} is not in the overlay ({names}): see 'ip route get'"
        )
    found = walk(seen)
    if arguments.output == "table":
        print_walk(found, verbose=arguments.verbose)
    else:
        print_as(arguments.output, found.as_json())
    return _judged(found)


def _destination(
    word: str, host: Host, source: IPv4Address | IPv6Address | None
) -> tuple[IPv4Address | IPv6Address, str]:
    """Return the address meant by a word: itself, the first one for containers on the host that it names, or that of
    a container, with its named network."""
    try:
        return ip_address(word), ""
    except ValueError:
        rows = [row for row in host.control.get("subnets").get("subnets", ()) if answers(row, word)]
    if not rows:
        return _container(word, host, 4 if source is None else source.version)
    if len(rows) > 1:
        subnets = ", ".join(str(row.get("subnet") or row.get("subnet6")) for row in rows)
        raise UsageError(
            f"{word!r} names {plural(len(rows), 'host')} ({subnets}): give an address in one of them"
        )
    return ip_network(rows[0].get("subnet") or rows[0]["subnet6"])[1], ""


def _container(word: str, host: Host, version: int) -> tuple[IPv4Address | IPv6Address, str]:
    """Return the address of a container by its name, on the overlay if it is there, and the named network else."""
    from flanpy.cli.base.names import called, read_names

    found = tuple(called(read_names(host)[0], word))
    if not found:
        raise UsageError(
            f"{word!r} is neither an address nor a host nor a container: see 'flanpyctl peers' and 'flanpyctl names'"
        )
    if flat := [one.box.addresses[0] for one in found if not one.network and one.box.addresses]:
        if len(flat) > 1:
            raise UsageError(f"{word!r} names {plural(len(flat), 'container')}: write {word}.HOST")
        return flat[0], ""
    one = next((one for one in found if one.told.node_id == host.node_id), found[0])
    if not one.box.addresses:
        raise CommandError(Exit.NOT_FOUND, printable(f"{word!r} has no address on '{one.network}'"))
    return min(one.box.addresses, key=lambda address: address.version != version), one.network


def _source_on(network: str, destination: IPv4Address | IPv6Address, host: Host) -> IPv4Address | IPv6Address:
    """Return an address that a container of this host has, or could have, on a named network."""
    joined = next(
        (one for one in host.control.get("status").get("networks", ()) if one["name"] == network), None
    )
    if joined is None:
        raise CommandError(
            Exit.NOT_FOUND,
            printable(
                f"{destination} is on the named network '{network}', which this host is not on: trace it on a host"
                " that is, or say with --from where the packet comes from"
            ),
        )
    if not joined["in_docker"]:
        raise CommandError(
            Exit.UNHEALTHY,
            printable(
                f"the named network '{network}' is not in Docker of this host: flanpyctl docker networks"
            ),
        )
    own = ip_network(joined["slice"] if destination.version == 4 else joined["ipv6_subnet"])
    return own[2] if own[2] != destination else own[3]


def _with_port(seen: Seen, text: str) -> Seen:
    if not text:
        return seen
    try:
        port = parse_port(text)
    except ConfigError as error:
        raise UsageError(f"--port: {error}") from error
    return replace(seen, protocol=port.protocol.value, port=port.number)


def _address(name: str, text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as cause:
        raise UsageError(f"{name} {text!r} is no IP address") from cause


def _judged(found: Walk) -> Exit:
    hop = found.fatal
    if hop is None:
        return Exit.OK
    what = "dies" if hop.verdict is HopVerdict.DIES else "is harmed"
    cure = f"; {hop.cure}" if hop.cure else ""
    raise CommandError(
        Exit.UNHEALTHY, f"a packet to {found.destination} {what} at {hop.place.value}: {hop.text}{cure}"
    )


def print_walk(found: Walk, *, verbose: bool) -> None:
    """Print the verdict, then each hop; the evidence of hops that pass only if `verbose`."""
    _print_verdict(found)
    assumed = f" ({found.assumed}; --from names another)" if found.assumed else ""
    start = {
        Direction.OUT: "forwarded by this host",
        Direction.FROM_HOST: "sent by this host",
        Direction.IN: "coming in from the overlay",
    }[found.direction]
    print(printable(f"{found.source or 'this host'}{assumed} -> {found.destination}, {start}"))
    for number, hop in enumerate(found.hops, 1):
        _print_hop(number, hop, verbose=verbose)
    for line in found.unread:
        print(f"not read: {printable(line)}", file=sys.stderr)


def _print_verdict(found: Walk) -> None:
    hop = found.fatal
    if hop is None:
        unsure = any(one.verdict is HopVerdict.UNKNOWN for one in found.hops)
        tone = Tone.UNSURE if unsure else Tone.GOOD
        words = "would pass, as far as could be read" if unsure else "gets through"
        say(f"{mark(tone)} a packet {words}: {plural(len(found.hops), 'hop')}", tone)
        return
    what = "dies" if hop.verdict is HopVerdict.DIES else "is harmed"
    place = found.hops.index(hop) + 1
    say(f"{mark(Tone.BAD)} a packet {what} at hop {place}, {hop.place.value}", Tone.BAD)


def _print_hop(number: int, hop: Hop, *, verbose: bool) -> None:
    colour = _TONES.get(hop.verdict, "") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ""
    head = printable(f"{number:>2}  {_MARKS[hop.verdict]:<4}  {hop.place.value}: {hop.text}")
    print(f"{colour}{head}\x1b[0m" if colour else head)
    for line in hop.evidence if verbose or hop.verdict is not HopVerdict.PASSES else ():
        print(f"          {printable(line)}")
    if hop.cure and hop.verdict is not HopVerdict.PASSES:
        print(f"          Fix: {printable(hop.cure)}")
