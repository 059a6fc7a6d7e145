"""The arguments of `flanpyctl keys` and what is below it."""

from __future__ import annotations

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Tree, add_format


def add_keys(tree: Tree) -> None:
    """Add `keys` and what is below it."""
    keys = tree.command(
        "keys",
        "keys.listing:ls",
        "WireGuard's keys: list, change",
        "keys\n keys -o json\n keys rotate",
        about="""\
List this host's WireGuard key and those of the peers, each by its first eight characters, with the age of the key and
of the last handshake. No command shows a private key.""",
    )
    add_format(keys, *FORMATS)
    below = tree.under(keys, required=False)
    listing = below.command("ls", "keys.listing:ls", "list the keys", "keys ls -o json")
    add_format(listing, *FORMATS)
    below.command(
        "rotate",
        "keys.rotation:rotate",
        "change this host's key",
        "keys rotate",
        about="""\
Put a new WireGuard key in force: on the disk, in the device, then in the lease, from which peers take it at once. No
packet is lost between hosts of flanpy. Refused while etcd is away: peers could not learn the key.""",
    )
