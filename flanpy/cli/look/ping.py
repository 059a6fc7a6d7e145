"""`flanpyctl ping`: probe the peers now, or put together what all agents measured.

`-o json` is the daemon's answer: of `POST /v1/probe` (as `/v1/peers`), with `--all` of `GET /v1/mesh`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import Any, Final

from flanpy.api.leases import PeerDocument
from flanpy.cli.base.control import Control
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.hosts import answers
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.cli.base.wording import plural
from flanpy.cli.look.peer_rows import (
    is_broken,
    milliseconds,
    name_of,
    path_mtu,
    peers_of,
    share,
    subnets_of,
    why,
)
from flanpy.errors import UsageError

ROUND_S: Final = 45.0
"""How long a round may take: probes are spread, and a silent peer is waited for."""

_TOLD: Final = 8
"""Broken pairs named in the closing line; all are in the table."""


def ping(arguments: Namespace, host: Host) -> Exit:
    """Probe and print; UNHEALTHY if a pair is broken."""
    if arguments.all and arguments.target:
        raise UsageError(f"--all is every pair of hosts: leave out {arguments.target!r}, or --all")
    control = Control(host.settings.run_dir, deadline=ROUND_S)
    return _all(control, arguments.output) if arguments.all else _from_here(control, arguments, host)


def _from_here(control: Control, arguments: Namespace, host: Host) -> Exit:
    said = control.post("probe")
    rows = said.get("peers", ())
    said = {**said, "peers": [row for row in rows if not arguments.target or answers(row, arguments.target)]}
    peers = peers_of(said)
    if arguments.target and not peers:
        raise CommandError(
            Exit.NOT_FOUND, f"no peer {arguments.target!r}: see 'flanpyctl peers' for those there are"
        )
    if arguments.output == "table":
        print_table(_table(peers))
    else:
        print_as(arguments.output, said)
    broken = [peer for peer in peers if is_broken(peer)]
    here = _here(host) if broken else ""
    return _judged([f"{here} -> {name_of(peer)} ({_complaint(peer)})" for peer in broken])


def _here(host: Host) -> str:
    said = host.control.get("status")
    return str(said.get("host") or said.get("node_id") or "this host")


def _complaint(peer: PeerDocument) -> str:
    words = why(peer) or peer.reach
    return f"{words}; {peer.cure}" if peer.cure else words


def _table(peers: Iterable[PeerDocument]) -> Table:
    rows = tuple(peers)
    cells = tuple(
        (
            name_of(peer),
            subnets_of(peer),
            peer.reach,
            milliseconds(peer.rtt_ms),
            share(peer.loss),
            path_mtu(peer),
            milliseconds(peer.underlay_rtt_ms),
            peer.trouble,
        )
        for peer in rows
    )
    titles = ("PEER", "SUBNET", "REACH", "RTT", "LOSS", "PATH MTU", "UNDERLAY RTT", "TROUBLE")
    bad = {number: "red" for number, peer in enumerate(rows) if is_broken(peer)}
    return Table(titles, cells, bad, ("UNDERLAY RTT", "PATH MTU", "LOSS"))


def _all(control: Control, output: str) -> Exit:
    from flanpy.cli.look.mesh import MeshDocument

    said = control.get("mesh")
    mesh = MeshDocument(said)
    if output == "table":
        print_table(mesh.table())
        print("\nround trips in milliseconds; ? is not known")
        if mesh.silent:
            print(printable(f"their agents told nothing: {', '.join(mesh.silent)}"))
    else:
        print_as(output, said)
    return _judged([f"{row['from']} -> {row['to']} ({_of(row)})" for row in mesh.broken])


def _of(row: Mapping[str, Any]) -> str:
    return str(row.get("trouble") or row.get("reach"))


def _judged(broken: list[str]) -> Exit:
    if not broken:
        return Exit.OK
    more = f" and {len(broken) - _TOLD} more" if len(broken) > _TOLD else ""
    pairs = printable(", ".join(broken[:_TOLD]))
    raise CommandError(Exit.UNHEALTHY, f"{plural(len(broken), 'pair')} broken: {pairs}{more}")
