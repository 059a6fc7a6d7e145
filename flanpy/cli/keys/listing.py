"""`flanpyctl keys`: this host's WireGuard key and those of its peers, by fingerprint and age."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.cli.base.wording import duration, natural


def ls(arguments: Namespace, host: Host) -> Exit:
    """Print the keys as the daemon has them."""
    own, peers = host.control.get("keys"), host.control.get("peers")
    rows = sorted(_peers(peers), key=lambda row: natural(row["host"]))
    if arguments.output != "table":
        print_as(arguments.output, {**own, "peers": rows})
        return Exit.OK
    now = time.time()
    for one in own.get("revoked", ()):
        since = duration(max(0.0, now - one["at"])) if one.get("at") else "unknown"
        print(printable(f"revoked     {one['name']}, {since} ago; to take it back: flanpyctl keys allow"))
    if not own.get("key"):
        print("no WireGuard key is in use here: the network's backend does not ask for one")
        return Exit.OK
    age = duration(max(0.0, now - own["made_at"])) if own.get("made_at") else "unknown"
    print(printable(f"this host   {own['key']}, {age} old, {own['file']}"))
    if rows:
        print()
        cells = tuple((row["host"], row["key"], row["link"], _ago(row["handshake_at"], now)) for row in rows)
        print_table(Table(("PEER", "KEY", "DEVICE", "HANDSHAKE"), cells))
    return Exit.OK


def _peers(said: Any) -> Iterator[dict[str, Any]]:
    """Yield the session of each device with each peer."""
    for peer in said.get("peers", ()):
        name = peer.get("host") or peer.get("node_id") or peer.get("public_ip") or peer.get("subnet") or ""
        for one in peer.get("wireguard", ()):
            yield {
                "host": name,
                "node_id": peer.get("node_id", ""),
                "key": one["key"],
                "link": one["link"],
                "handshake_at": one["handshake_at"],
            }


def _ago(moment: float | None, now: float) -> str:
    return f"{duration(max(0.0, now - moment))} ago" if moment else "none"
