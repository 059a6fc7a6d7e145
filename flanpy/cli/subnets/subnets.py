"""`flanpyctl subnets`: list, watch, show; and reserve, pin, unpin, release in etcd.

`-o json` of the listing is `Listing.as_json`, of `show` one `SubnetRow`; with `--watch` one listing a line.
"""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as
from flanpy.cli.base.wording import plural
from flanpy.cli.subnets.listing import current
from flanpy.cli.subnets.listing_text import print_listing, wants_expiry
from flanpy.cli.subnets.rows import Listing, SubnetRow, expiry_text


def show_all(arguments: Namespace, host: Host) -> Exit:
    """Print all subnets, once or on every change."""
    if arguments.watch:
        from flanpy.cli.subnets.watching import watch

        return watch(arguments, host)
    print_listing(current(arguments, host, expiry=wants_expiry(arguments)), arguments.output)
    return Exit.OK


def show_one(arguments: Namespace, host: Host) -> Exit:
    """Print one subnet in full."""
    row = found(current(arguments, host, expiry=True), arguments.subnet)
    if arguments.output == "table":
        _print_row(row)
    else:
        print_as(arguments.output, row.as_json())
    return Exit.OK


def _print_row(row: SubnetRow) -> None:
    texts = {name.replace("_", " "): value for name, value in row.as_json().items()}
    del texts["expires in"]
    texts |= {
        "own": "not known" if row.own is None else "yes" if row.own else "no",
        "reservation": "yes" if row.reservation else "no",
        "expiry": expiry_text(row),
        "lease id": f"{row.lease_id:x}" if row.lease_id else "",
    }
    for title, text in texts.items():
        if text not in ("", None):
            print(f"{title:<13}{text}")


def found(listing: Listing, word: str) -> SubnetRow:
    """The one subnet that `word` names. NOT_FOUND if there is none, CONFLICT if there are several."""
    rows = [row for row in listing.rows if (row.own if word == "own" else row.answers_to(word))]
    if not rows:
        broken = next((reason for key, reason in listing.invalid if key == word), "")
        why = f"its key cannot be used: {broken}" if broken else "see 'flanpyctl subnets' for those there are"
        raise CommandError(Exit.NOT_FOUND, f"no subnet {word!r}: {why}")
    if len(rows) > 1:
        names = ", ".join(row.name for row in rows)
        raise CommandError(
            Exit.CONFLICT, f"{word!r} names {plural(len(rows), 'subnet')} ({names}): give one of them"
        )
    return rows[0]
