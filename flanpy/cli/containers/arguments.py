"""The arguments of `flanpyctl attach`, `detach`, `link` and `unlink`."""

from __future__ import annotations

from typing import Final

from flanpy.cli.base.options import DOCKER_OPTIONS
from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Parser, Tree, add_format
from flanpy.config.arguments import add_arguments

_CONTAINER: Final = "a container of this host, by name or id"


def add_attach(tree: Tree) -> None:
    """Add `attach` and `detach`."""
    attach = tree.command(
        "attach",
        "containers.attach:attach",
        "put a running container on the overlay or a named network",
        """attach db
        attach db --network shop --ip 10.96.1.77
        attach --list""",
        about="""\
Give a running container an address of the overlay, or with --network of a named network, and its default route; also
one that was started with --network none. Docker keeps it over restarts of the container and of itself.
Needs root, but for --list.""",
    )
    _add_settings(attach)
    attach.add_argument("container", metavar="CONTAINER", nargs="?", default=None, help=_CONTAINER)
    attach.add_argument(
        "--network", metavar="NAME", default=None, help="a named network; without it the overlay"
    )
    attach.add_argument(
        "--ip",
        metavar="ADDRESS",
        default=None,
        help="an address of what this host gives out; not on Docker's default network",
    )
    attach.add_argument(
        "--list",
        action="store_true",
        default=False,
        help="list the containers here that are on the overlay or on a named network",
    )
    add_format(attach, *FORMATS)
    detach = tree.command(
        "detach",
        "containers.attach:detach",
        "take a container off the overlay or a named network",
        "detach db\n detach db --network shop",
        about="""\
Take a container off a network of flanpy's. One that is then on no network is as if started with --network none.
Needs root.""",
    )
    _add_settings(detach)
    detach.add_argument("container", metavar="CONTAINER", help=_CONTAINER)
    detach.add_argument(
        "--network", metavar="NAME", default=None, help="the network, if the container is on several"
    )


def add_link(tree: Tree) -> None:
    """Add `link` and `unlink`."""
    link = tree.command(
        "link",
        "containers.links:link",
        "join two containers of this host by a link of their own",
        """link web db
        link web db --addresses 10.1.1.1 10.1.1.2
        link --list""",
        about="""\
Join two running containers of this host by a pair of devices, with one address each and a route to the other. Their
other networks stay. The link is made again whenever one of them starts, and goes with either. Needs root.""",
    )
    _add_settings(link)
    link.add_argument(
        "containers", metavar="CONTAINER", nargs="*", default=[], help=f"two of them: {_CONTAINER}"
    )
    link.add_argument(
        "--addresses",
        metavar="ADDRESS",
        nargs=2,
        default=None,
        help="the address of each; without it free ones of 169.254.128.0/19",
    )
    link.add_argument(
        "--list", action="store_true", default=False, help="list the links, and whether each is up"
    )
    add_format(link, *FORMATS)
    unlink = tree.command(
        "unlink",
        "containers.links:unlink",
        "take the link of two containers away",
        "unlink web db\n unlink --all",
        about="Take the link of two containers away, whether they run or not. Needs root.",
    )
    _add_settings(unlink)
    unlink.add_argument(
        "containers", metavar="CONTAINER", nargs="*", default=[], help=f"two of them: {_CONTAINER}"
    )
    unlink.add_argument("--all", action="store_true", default=False, help="take every link away")


def _add_settings(parser: Parser) -> None:
    add_arguments(parser.add_argument_group("settings: Docker"), DOCKER_OPTIONS)
