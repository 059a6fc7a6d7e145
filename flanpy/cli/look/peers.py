"""`flanpyctl peers`: how this host reaches each other. `-o json` is the daemon's `/v1/peers` unchanged."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Final

from flanpy.api.leases import PeerDocument
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as, print_json, print_table
from flanpy.cli.base.screen import Tone, is_terminal, mark, say
from flanpy.cli.base.wording import plural
from flanpy.cli.look.peer_rows import is_broken, name_of, peers_of, table_of, why

_NAMED: Final = 8
"""Peers in trouble that the first line names."""


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the peers, once or on every change."""
    if not arguments.watch:
        _print(host.control.get("peers"), arguments)
        return Exit.OK
    from flanpy.cli.base.following import CLEAR, changes

    for said in changes(lambda: host.control.get("peers")):
        if sys.stdout.isatty() and arguments.output in {"table", "wide"}:
            sys.stdout.write(CLEAR)
        elif arguments.output == "yaml":
            sys.stdout.write("---\n")
        _print(said, arguments, compact=True)
        sys.stdout.flush()
    return Exit.OK


def _print(said: Any, arguments: Namespace, *, compact: bool = False) -> None:
    peers = peers_of(said)
    match arguments.output:
        case "json":
            print_json(said, compact=compact)
        case "yaml":
            print_as("yaml", said)
        case "name":
            sys.stdout.writelines(f"{name_of(peer)}\n" for peer in peers)
        case output:
            if is_terminal():
                _verdict(peers)
            wide = output == "wide" or arguments.verbose
            print_table(table_of(peers, now=time.time(), wide=wide))
            if arguments.verbose:
                _reasons(peers)


def _verdict(peers: Sequence[PeerDocument]) -> None:
    """Print the sum first: how many are reached, and who is not."""
    bad = [name_of(peer) for peer in peers if is_broken(peer)]
    reached = sum(peer.reach == "reachable" for peer in peers) if not bad else 0
    count = plural(len(peers), "peer")
    if bad:
        say(
            f"{mark(Tone.BAD)} {len(bad)} of {count} in trouble: {', '.join(bad[:_NAMED])}",
            Tone.BAD,
        )
    elif reached == len(peers):
        say(f"{mark(Tone.GOOD)} {count} reached", Tone.GOOD)
    else:
        say(
            f"{mark(Tone.UNSURE)} {reached} of {count} reached, the others are not known",
            Tone.UNSURE,
        )


def _reasons(peers: Sequence[PeerDocument]) -> None:
    """Print what the evidence says of each broken peer, and the fix."""
    for peer in filter(is_broken, peers):
        say(f"{mark(Tone.BAD)} {name_of(peer)}: {why(peer) or peer.reach}", Tone.BAD)
        if peer.cure:
            say(f"Fix: {peer.cure}", Tone.FIX, indent=2, hang=7)
