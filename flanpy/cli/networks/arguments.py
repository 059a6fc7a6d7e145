"""The arguments of `flanpyctl networks` and what is below it."""

from __future__ import annotations

from argparse import ArgumentTypeError

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Parser, Tree, add_force, add_format


def _ipv6(text: str) -> str:
    """Return the text of an IPv6 subnet, which is judged later. A name that stands behind the option is none."""
    if text != "auto" and not any(mark in text for mark in ".:/"):
        raise ArgumentTypeError(f"{text!r} is no IPv6 subnet: put --ipv6 behind NAME and SUBNET")
    return text


def add_networks(tree: Tree) -> None:
    """Add `networks` and what is below it."""
    networks = tree.command(
        "networks",
        "networks.networks:ls",
        "named networks across hosts: create, list, link, remove",
        "networks\n networks create shop 10.96.0.0/16\n networks show shop",
        about="""\
A named network is one subnet on all hosts, apart from the overlay and from the other named networks. Containers on any
host join it by its name: docker run --network shop. The definitions are in etcd.""",
    )
    add_format(networks, *FORMATS)
    below = tree.under(networks, required=False)
    listing = below.command("ls", "networks.networks:ls", "list named networks", "networks ls -o json")
    add_format(listing, *FORMATS)
    show = below.command(
        "show", "networks.networks:show", "one network, its hosts and its containers", "networks show shop"
    )
    _add_name(show)
    add_format(show, *FORMATS)
    _add_create(below)
    _add_rm(below)
    _add_membership(below)
    _add_copies(below)
    _add_links(below)


def add_names(tree: Tree) -> None:
    """Add `names`."""
    names = tree.command(
        "names",
        "networks.names:show",
        "the containers of all hosts by name",
        "names\n names db\n names db.shop.flanpy.internal -o json",
        about="""\
List the containers that hosts tell of, by name, network and host; with NAME those that are called so, also by an alias,
as NAME.NETWORK, NAME.HOST or with .flanpy.internal at the end. Exit 4 if nobody is. The names are in etcd.""",
    )
    names.add_argument("name", metavar="NAME", nargs="?", default=None, help="only who is called so")
    add_format(names, *FORMATS)


def _add_create(below: Tree) -> None:
    create = below.command(
        "create",
        "networks.change:create",
        "define a network once for all hosts",
        """networks create shop 10.96.0.0/16
        networks create lab 10.97.0.0/20 --slice-size 26 --internal
        networks create web 10.98.0.0/16 --ipv6 --hosts frontend,web-9""",
        about="""\
Define a network. Each host that runs flanpyd (with --hosts: each that is called so) takes a slice of the subnet, and
flanpy-docker makes the network in its Docker. The MTU of all hosts is the same; without --mtu it is what this host's
overlay has room for, 1450 where there is no flanpyd. The subnet must not overlap the overlay, another network, or
what this host uses.""",
    )
    _add_name(create)
    create.add_argument(
        "subnet", metavar="SUBNET", help="the IPv4 range of all hosts together, such as 10.96.0.0/16"
    )
    create.add_argument(
        "--slice-size",
        metavar="LEN",
        type=int,
        default=None,
        help="prefix length of each host's slice (default 24, longer in a small subnet)",
    )
    create.add_argument(
        "--ipv6",
        metavar="SUBNET",
        type=_ipv6,
        nargs="?",
        const="auto",
        default=None,
        help="IPv6 as well; without a subnet a /64 of its own in fd00::/8",
    )
    create.add_argument(
        "--hosts",
        metavar="LABEL",
        action="append",
        default=None,
        help="only hosts with one of these labels (host-label), host names or node ids, separated by commas",
    )
    _add_encapsulation(create)
    create.add_argument(
        "--internal", action="store_true", default=False, help="containers reach nothing outside the network"
    )
    create.add_argument(
        "--encrypted",
        action="store_true",
        default=False,
        help="only if the overlay is encrypted, through whose WireGuard the network then goes",
    )
    add_force(create, "define it even if the subnet overlaps what this host uses")
    add_format(create, *FORMATS)


def _add_encapsulation(create: Parser) -> None:
    create.add_argument(
        "--vni",
        metavar="VNI",
        type=int,
        default=None,
        help="VXLAN network identifier (default: a free one from 10001)",
    )
    create.add_argument(
        "--port",
        metavar="PORT",
        type=int,
        default=None,
        help="UDP port between hosts, kept for good (default: the vxlan backend's, else 8472)",
    )
    create.add_argument(
        "--mtu", metavar="BYTES", type=int, default=None, help="MTU of containers on every host"
    )


def _add_rm(below: Tree) -> None:
    rm = below.command(
        "rm",
        "networks.change:rm",
        "remove a network from all hosts",
        "networks rm shop",
        about="""\
Delete the definition and all slices. Hosts part at once. Refused while a host tells of a container on it (flanpyctl
names). Docker's network goes from each host as soon as no container there has it.""",
    )
    _add_name(rm)
    add_force(rm, "remove it though containers have it: they reach each other on their own host only")


def _add_membership(below: Tree) -> None:
    attach = below.command(
        "attach",
        "networks.members:attach",
        "put a host on a network",
        "networks attach shop\n networks attach shop web-2",
        about="""\
Put this host, or another, on a network that it has left or was not chosen for (--hosts). It takes a slice, and
flanpy-docker makes the network in its Docker.""",
    )
    _add_name(attach)
    _add_host(attach)
    leave = below.command(
        "leave",
        "networks.members:leave",
        "take a host from a network",
        "networks leave shop\n networks leave shop web-2",
        about="""\
Take this host, or another, from a network. It parts at once and gives its slice back; Docker's network goes as soon as
no container there has it.""",
    )
    _add_name(leave)
    _add_host(leave)
    forget = below.command(
        "forget",
        "networks.members:forget",
        "free the slices of a host that is gone for good",
        "networks forget web-2",
        about="""\
Free the slices of a host that does not come back, in all networks. Refused while the host holds a lease: one that runs
would take a slice again at once, and its Docker still gives out the old one.""",
    )
    forget.add_argument("node", metavar="HOST", help="host name or node id, as networks show has it")
    add_force(forget, "free them even if the host holds a lease")


def _add_host(parser: Parser) -> None:
    parser.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="name, address or node id; this host without"
    )


def _add_copies(below: Tree) -> None:
    below.command(
        "export",
        "networks.copies:export",
        "print all definitions and slices, to be kept elsewhere",
        "networks export > networks.json",
    )
    copied = below.command(
        "import",
        "networks.copies:import_",
        "write definitions and slices that etcd does not have",
        "networks import networks.json",
        about="""\
Write what networks export printed, as far as etcd does not have it. Nothing is replaced: a network that is there with
another definition, or whose range or VNI another one has by now, is refused, and nothing is written.""",
    )
    copied.add_argument("file", metavar="FILE", help="what networks export printed; - reads standard input")


def _add_links(below: Tree) -> None:
    link = below.command(
        "link",
        "networks.links:link",
        "let two networks talk",
        "networks link shop billing\n networks link shop billing --port 5432 --port 53/udp",
        about="""\
Let the containers of two networks reach each other by their addresses, both ways, on every host that is on both; with
--port only by these ports of the one asked. It sees the asking host's address, as with all that leaves a network. The
link goes with either network.""",
    )
    unlink = below.command(
        "unlink",
        "networks.links:unlink",
        "keep two linked networks apart again",
        "networks unlink shop billing",
    )
    for parser in (link, unlink):
        parser.add_argument("first", metavar="NAME", help="a network")
        parser.add_argument("second", metavar="OTHER", help="the other one")
    link.add_argument(
        "--port",
        metavar="PORT",
        action="append",
        default=None,
        help="5432, 5432/tcp or 53/udp; may be given again (default: all)",
    )


def _add_name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the network's name, the same in Docker")
