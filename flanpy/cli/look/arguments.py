"""The arguments of the commands that inspect: status, diff, peers, ping, trace, events, top."""

from __future__ import annotations

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Tree, add_format


def add_status(tree: Tree) -> None:
    """Add `status` to a level of commands."""
    status = tree.command(
        "status",
        "look.status:show",
        "show if this host and the cluster are well",
        "status\n status -v\n status --wait --timeout 30\n status --standby\n status -o json",
        about="""\
Show two verdicts, of this host and of the cluster, with the cause and the fix first. The exit code is of this host
alone: 5 while it is not well, with --wait while it is not ready. For all pairs of hosts see ping --all.""",
    )
    add_format(status, *FORMATS)
    status.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False,
        help="every condition, and what follows from what",
    )
    status.add_argument("--wait", action="store_true", default=False, help="wait until it is ready")
    status.add_argument(
        "--standby",
        action="store_true",
        default=False,
        help="wait until it is ready, or needs only that flanneld leaves the udp tunnel; exit 0 for either",
    )
    status.add_argument(
        "--timeout", type=float, metavar="SECONDS", default=60.0, help="how long to wait (default 60)"
    )


def add_diff(tree: Tree) -> None:
    """Add `diff` to a level of commands."""
    diff = tree.command(
        "diff",
        "look.diff:show",
        "show what the daemon would change next",
        "diff\n diff -o json",
    )
    add_format(diff, "lines", "json", "yaml")


def add_peers(tree: Tree) -> None:
    """Add `peers`."""
    peers = tree.command(
        "peers",
        "look.peers:show",
        "show how each peer is reached",
        "peers\n peers -v\n peers -o wide\n peers --watch\n peers -o json",
        about="""\
List the peers as this host's daemon reaches them. Times and losses are those of its probes over the overlay; -o wide
adds the underlay beside them, and what the evidence says is in the way.""",
    )
    add_format(peers, "table", "wide", "json", "yaml", "name")
    peers.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False,
        help="all columns, then the evidence and the fix of each peer in trouble",
    )
    peers.add_argument(
        "--watch", "-w", action="store_true", default=False, help="go on, print again on each change"
    )


def add_ping(tree: Tree) -> None:
    """Add `ping`."""
    ping = tree.command(
        "ping",
        "look.ping:ping",
        "probe the peers now, or show every pair",
        "ping\n ping web-7\n ping 10.50.7.3\n ping --all",
        about="""\
Let the daemon probe all peers now, over the overlay and beneath it, and print what came back. With --all the agents'
own probes are put together: which host reaches which, sender by row and receiver by column. Exit 5 if a pair of hosts
is broken, naming it.""",
    )
    ping.add_argument(
        "target",
        metavar="PEER",
        nargs="?",
        default="",
        help="only this one: a host's name, subnet, or any address of it",
    )
    ping.add_argument("--all", action="store_true", default=False, help="every pair of hosts, by the agents")
    add_format(ping, *FORMATS)


def add_trace(tree: Tree) -> None:
    """Add `trace`."""
    trace = tree.command(
        "trace",
        "look.trace:show",
        "follow a packet through this host, hop by hop",
        """trace 10.50.7.3
        trace 10.50.7.3 --from 10.50.1.5
        trace 10.50.1.5 --from 10.50.7.3
        trace 10.97.2.5 --from 10.96.1.5 --port 5432
        trace web-2 -v
        trace db.shop
        trace 10.50.7.3 -o json""",
        about="""\
Follow a packet to ADDRESS through the kernel of this host, hop by hop: lease, packet filter, route, NAT, neighbour,
FDB entry, underlay. Nothing is sent. To an address of another host it starts at a container here, to one of this host's
own subnet it arrives from the overlay. To a named network it starts at the address of --from, in that one or another;
to a container by its name at one of this host on the same network. Exit 5 if the packet would die or arrive
changed.""",
    )
    trace.add_argument(
        "address",
        metavar="ADDRESS",
        help="an address in the overlay or a named network, a host by its name or subnet, or a container by its name",
    )
    trace.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False,
        help="the evidence of every hop, also of those that pass",
    )
    trace.add_argument(
        "--from",
        dest="source",
        metavar="CONTAINER_IP",
        default="",
        help="where the packet comes from; without it, a container of the right subnet",
    )
    trace.add_argument(
        "--port",
        metavar="PORT",
        default="",
        help="follow a packet to this port (5432, 5432/tcp or 53/udp) through rules that ask for it",
    )
    add_format(trace, *FORMATS)


def add_events(tree: Tree) -> None:
    """Add `events`."""
    events = tree.command(
        "events",
        "look.events:show",
        "show what happened here, and why",
        "events\n events --since 2h --peer web-2\n events -n 10\n events --follow -o json",
        about="""\
List what happened to this host's overlay in the last day, also before the daemon was last started. A start or a trouble
is one row, with what it lasted; one that comes and goes again and again is one row with a count.""",
    )
    add_format(events, "table", "wide", "json", "yaml")
    events.add_argument(
        "--since",
        metavar="TIME",
        default="",
        help="only with news since then: a duration (15m, 2h), or a local time (08:30)",
    )
    events.add_argument(
        "--peer",
        metavar="PEER",
        default="",
        help="only about this host: its name, subnet, or any address of it",
    )
    events.add_argument(
        "--follow", "-f", action="store_true", default=False, help="go on, print each as it happens"
    )
    events.add_argument(
        "-n",
        "--number",
        type=int,
        metavar="COUNT",
        default=None,
        help="how many of the newest (default 50, all with --since or --peer; 0: all)",
    )


def add_top(tree: Tree) -> None:
    """Add `top`."""
    top = tree.command(
        "top",
        "look.top:show",
        "watch conditions, peers and rates live",
        "top\n top --interval 5",
        about="""\
Show health as it changes; q or Ctrl-C leaves. Where there is no terminal it is printed once.""",
    )
    top.add_argument(
        "--interval", type=float, metavar="SECONDS", default=2.0, help="time between two looks (default 2)"
    )
