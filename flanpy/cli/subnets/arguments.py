"""The arguments of `flanpyctl subnets` and what is below it."""

from __future__ import annotations

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Parser, Tree, add_force, add_format


def add_subnets(tree: Tree) -> None:
    """Add `subnets` and what is below it."""
    subnets = tree.command(
        "subnets",
        "subnets.subnets:show_all",
        "list, show, reserve, pin or release subnets",
        """subnets
        subnets -o wide
        subnets --watch
        subnets -o json --expiry --etcd-endpoints http://192.0.2.1:2379""",
        about="""\
List leases and reservations. The local daemon answers if it runs; with --etcd or any --etcd-... flag etcd is asked.
When a lease expires only etcd knows, one request for each: the column is there with --expiry and -o wide, and if etcd
is asked anyway and has no more than 200 leases.""",
    )
    _add_listing(subnets)
    below = tree.under(subnets, required=False)
    listing = below.command(
        "list", "subnets.subnets:show_all", "list leases and reservations", "subnets list -o name"
    )
    _add_listing(listing)
    show = below.command(
        "show",
        "subnets.subnets:show_one",
        "one subnet in full",
        "subnets show 10.50.7.0/24\n subnets show own\n subnets show node-7 -o json",
    )
    show.add_argument("subnet", metavar="SUBNET", help="a subnet, a node, a public IP, or 'own'")
    _add_source(show)
    add_format(show, *FORMATS)
    below.command(
        "export",
        "subnets.export:export",
        "print the cluster as a list of hosts",
        "subnets export > hosts.json",
        about="""\
Print the network config and all leases as one JSON document. flanpyd with --leases-from takes it in place of etcd.""",
    )
    _add_reserve(below)
    _add_holds(below)


def _add_listing(parser: Parser) -> None:
    add_format(parser, "table", "wide", "json", "yaml", "name")
    parser.add_argument(
        "--watch", "-w", action="store_true", default=False, help="go on, print again on each change"
    )
    parser.add_argument(
        "--expiry", action="store_true", default=False, help="ask etcd when each lease expires"
    )
    _add_source(parser)


def _add_source(parser: Parser) -> None:
    parser.add_argument(
        "--etcd",
        "--no-daemon",
        action="store_true",
        default=False,
        help="ask etcd even if a daemon runs here",
    )


def _add_reserve(tree: Tree) -> None:
    reserve = tree.command(
        "reserve",
        "subnets.holding:reserve",
        "keep a free subnet for a host, forever",
        """subnets reserve 10.50.7.0/24 --public-ip 192.0.2.7
        subnets reserve 10.50.7.0/24 --public-ip 192.0.2.7 --node-id node-7""",
    )
    reserve.add_argument(
        "subnet", metavar="FREE_SUBNET", help="as 10.50.7.0/24; with IPv6 as 10.50.7.0/24,fd50:1:0:7::/64"
    )
    reserve.add_argument(
        "--public-ip", dest="for_public_ip", metavar="ADDRESS", default=None, help="the host's address"
    )
    reserve.add_argument(
        "--public-ipv6", dest="for_public_ip6", metavar="ADDRESS", default=None, help="its IPv6 address"
    )
    reserve.add_argument("--for-node", metavar="ID", default="", help="the host's node id")


def _add_holds(tree: Tree) -> None:
    pin = tree.command(
        "pin",
        "subnets.holding:pin",
        "make a lease a reservation: it no longer expires",
        "subnets pin 10.50.7.0/24",
    )
    unpin = tree.command(
        "unpin",
        "subnets.holding:unpin",
        "make a reservation a lease again: it expires if its host does not renew it",
        "subnets unpin 10.50.7.0/24",
    )
    release = tree.command(
        "release",
        "subnets.holding:release",
        "give a subnet back",
        "subnets release 10.50.7.0/24\n subnets release 10.50.7.0/24 --force",
        about="""\
Give a subnet back. One that a host uses is refused without --force, unless it is this host's and no daemon runs.""",
    )
    for parser in (pin, unpin, release):
        parser.add_argument(
            "subnet", metavar="SUBNET", help="as 10.50.7.0/24, or a node, a public IP, or 'own'"
        )
    add_force(release, "also a subnet that is in use: its host loses it")
