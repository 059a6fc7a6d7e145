"""`flanpyctl subnets --watch`: print the listing now and after every change, until interrupted.

Owns the following. With the daemon its socket is polled, with etcd its watch is followed; what is printed is the same.
"""

from __future__ import annotations

import gc
import sys
import time
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.subnets.listing import daemons_listing
from flanpy.cli.subnets.listing_text import print_listing, wants_expiry
from flanpy.cli.subnets.rows import Listing, listing_from_daemon
from flanpy.errors import ControlError

if TYPE_CHECKING:
    from flanpy.store.port import KeyValue, News, Store

POLL_S: Final = 0.5
_CLEAR: Final = "\x1b[H\x1b[2J"  # home, erase the display (ECMA-48)


def watch(arguments: Namespace, host: Host) -> Exit:
    """Never returns but by an interrupt or an error."""
    gc.enable()  # unlike other commands this one may live for days
    first = None if wants_expiry(arguments) else daemons_listing(arguments, host)
    if first is not None:
        _watch_daemon(arguments, host, first)
    return _watch_etcd(arguments, host)


def _watch_daemon(arguments: Namespace, host: Host, listing: Listing) -> NoReturn:
    last: Listing | None = None
    answered = True
    while True:
        if last is None or replace(listing, revision=last.revision) != last:
            _print(listing, arguments.output)
            last = listing
        time.sleep(POLL_S)
        try:
            listing = listing_from_daemon(host.control.get("subnets"))
            answered = True
        except ControlError as error:  # it may be restarting
            if answered:
                print(f"{error}; still watching", file=sys.stderr)
            answered = False


def _watch_etcd(arguments: Namespace, host: Host) -> Exit:
    from flanpy.cli.base.etcd import with_etcd

    async def follow(store: Store) -> Exit:
        await _follow(store, arguments, host)
        return Exit.OK

    return with_etcd(host.effective, follow)


async def _follow(store: Store, arguments: Namespace, host: Host) -> None:
    from flanpy.cli.subnets.etcd_listing import of_snapshot, with_expiries
    from flanpy.store.port import Progress, Snapshot
    from flanpy.store.schema import subnets_prefix

    prefix = subnets_prefix(host.effective.etcd.prefix)
    await store.list(prefix)  # etcd out of reach is an error now; later it is only news
    following = store.watch(prefix)
    items: dict[str, KeyValue] = {}
    stale = False
    try:
        async for news in following:
            if isinstance(news, Progress) and not stale:
                continue
            stale, revision = _apply(news, items)
            ordered = tuple(items[key] for key in sorted(items))
            listing = replace(of_snapshot(Snapshot(ordered, revision), prefix, own=host.node_id), stale=stale)
            if wants_expiry(arguments) and not stale:
                listing = await with_expiries(store, listing)
            _print(listing, arguments.output)
    finally:
        await following.aclose()


def _apply(news: News, items: dict[str, KeyValue]) -> tuple[bool, int]:
    """Bring `items` up to date; whether they are stale now, and the revision."""
    from flanpy.store.port import Delta, Progress, Snapshot, Stale

    match news:
        case Snapshot():
            items.clear()
            items.update({item.key: item for item in news.items})
        case Delta():
            items.update({item.key: item for item in news.puts})
            for deletion in news.deletes:
                items.pop(deletion.key, None)
        case Progress():
            pass
        case Stale():
            return True, max((item.mod_revision for item in items.values()), default=0)
    return False, news.revision


def _print(listing: Listing, output: str) -> None:
    """A terminal shows the newest listing only; elsewhere they follow one another, JSON one a line."""
    if sys.stdout.isatty() and output in {"table", "wide"}:
        sys.stdout.write(_CLEAR)
    elif output == "yaml":
        sys.stdout.write("---\n")
    print_listing(listing, output, compact=True)
    sys.stdout.flush()
