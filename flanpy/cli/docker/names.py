"""`flanpyctl docker names`: tell flanpyd what Docker's running containers are called.

Out: root's names.json, which flanpyd reads. Owns the wording of why Docker tells nothing.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.docker import dockerd
from flanpy.docker.local import told_settings
from flanpy.docker.names import Names
from flanpy.host import names_file


def names(arguments: Namespace, host: Host) -> Exit:
    """Write the names once and print them, or with --follow again and again; UNREACHABLE if Docker tells nothing."""
    from flanpy.clock import SystemClock
    from flanpy.docker.api import DockerElsewhere
    from flanpy.docker.follow import NamesFollower
    from flanpy.errors import MALFORMED

    path = names_file.path_of(host.effective.run_dir)
    docker = host.effective.docker
    follower = NamesFollower(docker.socket, docker.config_file, partial(_save, path), SystemClock())
    if arguments.follow:
        tell_nothing_yet(path, docker.config_file)
        asyncio.run(follower.run(_Teller(docker.socket)))
    try:
        follower.socket_of_running()
        found = asyncio.run(follower.look())
    except (DockerElsewhere, OSError, EOFError, TimeoutError, *MALFORMED) as error:
        reason = f"Docker on {docker.socket} cannot be asked: {error!r:.200}"
        raise CommandError(Exit.UNREACHABLE, printable(reason)) from error
    if not arguments.dry_run:
        names_file.save(path, found)
    _print(arguments.output, found)
    return Exit.OK


def tell_nothing_yet(path: Path, config_file: Path) -> None:
    """Tell of no containers where nobody has told of any since the boot and no Docker runs, which has none then."""
    if not path.exists() and dockerd.pid_by_file(told_settings(config_file)) is None:
        names_file.save(path, {})


def _save(path: Path, found: Names) -> None:
    names_file.save(path, found)


class _Teller:
    """Says on standard error when Docker ceases to tell, and when it tells again; each once."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._said = ""

    def __call__(self, reason: str) -> None:
        if bool(reason) != bool(self._said):
            text = (
                f"Docker on {self._socket} tells no names: {reason}" if reason else "Docker tells names again"
            )
            print(printable(text), file=sys.stderr, flush=True)
        self._said = reason


def _print(form: str, found: Names) -> None:
    rows: list[dict[str, Any]] = [
        {
            "network": network,
            "name": one.name,
            "addresses": [str(address) for address in one.addresses],
            "aliases": list(one.aliases),
        }
        for network, boxes in found.items()
        for one in boxes
    ]
    if form != "table":
        print_as(form, rows)
        return
    cells = ((r["network"], r["name"], ", ".join(r["addresses"]), ", ".join(r["aliases"])) for r in rows)
    print_table(Table(("NETWORK", "NAME", "ADDRESSES", "ALIASES"), tuple(cells)))
