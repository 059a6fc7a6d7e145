"""The arguments of `flanpyctl keys` and what is below it."""

from __future__ import annotations

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Tree, add_force, add_format


def add_keys(tree: Tree) -> None:
    """Add `keys` and what is below it."""
    keys = tree.command(
        "keys",
        "keys.listing:ls",
        "WireGuard's keys: list, change, revoke a host",
        "keys\n keys -o json\n keys rotate\n keys revoke web-3\n keys allow web-3",
        about="""\
List this host's WireGuard key and those of the peers, each by its first eight characters, with the age of the key and
of the last handshake. No command shows a private key.""",
    )
    add_format(keys, *FORMATS)
    below = tree.under(keys, required=False)
    listing = below.command("ls", "keys.listing:ls", "list the keys", "keys ls -o json")
    add_format(listing, *FORMATS)
    _add_rotate(below)
    _add_revocation(below)


def _add_rotate(below: Tree) -> None:
    rotate = below.command(
        "rotate",
        "keys.rotation:rotate",
        "change this host's key, or all",
        "keys rotate\n keys rotate --all",
        about="""\
Put a new WireGuard key in force: on the disk, in the device, then in the lease, from which peers take it at once. No
packet is lost between hosts of flanpy. Refused while etcd is away: peers could not learn the key. With --all every host
changes its own, one after another; a host that is away does so when it is back.""",
    )
    rotate.add_argument(
        "--all", action="store_true", default=False, help="every host, and show which have done so"
    )
    rotate.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=None,
        help="with --all: how long to wait for all (default 30, and 10 for each host)",
    )


def _add_revocation(below: Tree) -> None:
    revoke = below.command(
        "revoke",
        "keys.revocation:revoke",
        "shut a host out of the network",
        "keys revoke web-3\n keys revoke 5f2c9d --force",
        about="""\
Take a host's lease away and put its node id and WireGuard key on a list in etcd: every other host removes it within a
second, and refuses each lease that it writes until 'keys allow'. Its own flanpyd gives up its lease. What it may write
in etcd is another matter: take its etcd user or its membership away, too (cluster remove).""",
    )
    revoke.add_argument(
        "node", metavar="NODE", help="host name, node id, address or subnet, as 'flanpyctl subnets' has it"
    )
    add_force(revoke, "this host itself, or a node id that has no lease now")
    allow = below.command("allow", "keys.revocation:allow", "take a revoked host back", "keys allow web-3")
    allow.add_argument("node", metavar="NODE", help="host name or node id, as 'flanpyctl keys' has it")
