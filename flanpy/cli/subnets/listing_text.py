"""The listing of subnets as it is printed, once or again and again.

Owns the form; must not ask anybody for the listing.
"""

from __future__ import annotations

import sys
from argparse import Namespace

from flanpy.cli.base.output import print_as, print_json, print_table
from flanpy.cli.subnets.rows import Listing, table_of


def wants_expiry(arguments: Namespace) -> bool:
    """Report whether the command line asks for expiries."""
    return bool(arguments.expiry or arguments.output == "wide")


def print_listing(listing: Listing, output: str, *, compact: bool = False) -> None:
    """Print it in the form asked for; what is wrong with it goes to standard error, so that it never breaks a pipe."""
    match output:
        case "json":
            print_json(listing.as_json(), compact=compact)
        case "yaml":
            print_as("yaml", listing.as_json())
        case "name":
            sys.stdout.writelines(f"{row.name}\n" for row in listing.rows)
        case _:
            print_table(table_of(listing, wide=output == "wide"))
            _print_remarks(listing)


def _print_remarks(listing: Listing) -> None:
    if listing.stale:
        print(f"etcd is out of reach: this is as of revision {listing.revision}", file=sys.stderr)
    for key, reason in listing.invalid:
        print(f"left out: key {key!r}: {reason}", file=sys.stderr)
