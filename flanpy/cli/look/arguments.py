"""The commands that look closely (peers, ping, trace, events, top, diag), as `commands.py` has the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flanpy.cli.base.output import FORMATS


def add_inspection(tree: Any, add_format: Callable[..., None]) -> None:
    """Add them to a level of commands."""
    _add_doctor(tree, add_format)
    _add_peers(tree, add_format)
    _add_ping(tree, add_format)
    _add_trace(tree, add_format)
    _add_events(tree, add_format)
    _add_top(tree)
    _add_diag(tree)


def _add_doctor(tree: Any, add_format: Callable[..., None]) -> None:
    doctor = tree.command(
        "doctor",
        "repair.doctor:show",
        "find what ails this host's overlay, from what, and what to do; exit 5 if unhealthy",
        "doctor\n doctor -v\n doctor --fix\n doctor -o json",
        about="""\
Check the daemon, etcd, the kernel, the packet filter and Docker for every known problem, and print what was found: the
cause first, then what it explains. Nothing is changed without --fix, which runs only the commands it shows, each after
a yes, and then looks again; services are never restarted. Without a daemon the rest is checked all the same, and the
exit code is 3.""",
    )
    add_format(doctor, *FORMATS)
    doctor.add_argument(
        "--fix", action="store_true", default=False, help="run the commands that are safe, asking before each"
    )
    doctor.add_argument(
        "--yes",
        action="store_true",
        default=False,
        help="with --fix: do not ask, but leave alone what somebody else made",
    )
    doctor.add_argument(
        "--verbose",
        "-v",
        action="store_true",
        default=False,
        help="also list what was checked and found well",
    )


def _add_peers(tree: Any, add_format: Callable[..., None]) -> None:
    peers = tree.command(
        "peers",
        "look.peers:show",
        "how each peer is reached: state, round trip, loss, path MTU, last change",
        "peers\n peers -o wide\n peers --watch\n peers -o json",
        about="""\
List the peers as this host's daemon reaches them. Times and losses are those of its probes over the overlay; -o wide
adds the underlay beside them, and what the evidence says is in the way.""",
    )
    add_format(peers, "table", "wide", "json", "yaml", "name")
    peers.add_argument(
        "--watch", "-w", action="store_true", default=False, help="go on, print again on each change"
    )


def _add_ping(tree: Any, add_format: Callable[..., None]) -> None:
    ping = tree.command(
        "ping",
        "look.ping:ping",
        "probe the peers now; exit 5 if a pair of hosts is broken, naming it",
        "ping\n ping node-7\n ping 10.50.7.3\n ping --all",
        about="""\
Let the daemon probe all peers now, over the overlay and beneath it, and print what came back. With --all the agents'
own probes are put together: who reaches whom, sender by row and receiver by column.""",
    )
    ping.add_argument(
        "target",
        metavar="PEER",
        nargs="?",
        default="",
        help="only this one: a node, a subnet, an address in it, or a public IP",
    )
    ping.add_argument("--all", action="store_true", default=False, help="every pair of hosts, by the agents")
    add_format(ping, *FORMATS)


def _add_trace(tree: Any, add_format: Callable[..., None]) -> None:
    trace = tree.command(
        "trace",
        "look.trace:show",
        "what a packet to an overlay address meets on this host, and where it would die",
        """trace 10.50.7.3
        trace 10.50.7.3 --from 10.50.1.5
        trace 10.50.1.5 --from 10.50.7.3
        trace 10.50.7.3 -o json""",
        about="""\
Follow a packet to ADDRESS through the kernel of this host, hop by hop: lease, packet filter, route, NAT, neighbour,
FDB entry, underlay. Nothing is sent. To an address of another host it starts at a container here, to one of this host's
own subnet it arrives from the overlay. Exit 5 if the packet would die or arrive changed.""",
    )
    trace.add_argument("address", metavar="ADDRESS", help="an address of a container or host in the overlay")
    trace.add_argument(
        "--from",
        dest="source",
        metavar="CONTAINER_IP",
        default="",
        help="where the packet comes from; without it, a container of the right subnet",
    )
    add_format(trace, *FORMATS)


def _add_events(tree: Any, add_format: Callable[..., None]) -> None:
    events = tree.command(
        "events",
        "look.events:show",
        "what happened to this host's overlay: repairs, peers, conditions, and why",
        "events\n events -n 10\n events --follow\n events --follow -o json",
    )
    add_format(events, *FORMATS)
    events.add_argument(
        "--follow", "-f", action="store_true", default=False, help="go on, print each as it happens"
    )
    events.add_argument(
        "-n",
        "--number",
        type=int,
        metavar="COUNT",
        default=50,
        help="how many of the newest (default 50, 0: all)",
    )


def _add_top(tree: Any) -> None:
    top = tree.command(
        "top",
        "look.top:show",
        "live view: conditions, peers by loss and round trip, device rates, repairs",
        "top\n top --interval 5",
        about="""\
Show health as it changes; q or Ctrl-C leaves. Where there is no terminal it is printed once.""",
    )
    top.add_argument(
        "--interval", type=float, metavar="SECONDS", default=2.0, help="time between two looks (default 2)"
    )


def _add_diag(tree: Any) -> None:
    diag = tree.command(
        "diag",
        "repair.diag:bundle",
        "pack what support needs to know into one archive, without secrets",
        "diag\n diag -f /tmp/node-7.tar.gz",
        about="""\
Write an archive (mode 0600) of what the daemon says, what the kernel has (links, routes, neighbours, FDB, packet
filter, settings), versions, and the daemon's last log lines. Passwords, tokens and keys are taken out. Works without a
daemon; what could not be had is listed in missing.txt.""",
    )
    diag.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        default="",
        help="where to (default flanpy-diag-NODE-TIME.tar.gz here)",
    )
