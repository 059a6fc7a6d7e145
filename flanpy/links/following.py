"""Docker's news of containers, by which links come back: as soon as a container starts, and when Docker itself does.

Owns the connection. What the news says is not read: that something changed is enough, as all is compared again. Must
not start Docker.
"""

from __future__ import annotations

import json
import select
import socket as sockets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from flanpy.docker import dockerd
from flanpy.errors import DockerUnreachable

LOOK_S: Final = 30.0
"""Seconds without news until the records are looked at: they may have gone, and the work with them."""

AWAY_S: Final = 1.0
"""Seconds between looks for a Docker that is away."""

_SETTLE_S: Final = 0.05
_DEADLINE_S: Final = 10.0
_FILTERS: Final = json.dumps(
    {"type": {"container": True}, "event": dict.fromkeys(("start", "destroy"), True)}
)
_REQUEST: Final = f"GET /events?filters={quote(_FILTERS)} HTTP/1.0\r\nHost: docker\r\n\r\n".encode()


def follow(
    path: Path, wanted: Callable[[], bool], look: Callable[[], object], *, away: float = AWAY_S
) -> None:
    """Look at first, and after each piece of news, as long as it is `wanted`.

    A look that finds Docker away is repeated once it is back.
    """
    while wanted():
        try:
            with _events(path) as events:
                _hear(events, wanted, look)
        except (OSError, DockerUnreachable):
            time.sleep(away)


def _hear(events: sockets.socket, wanted: Callable[[], bool], look: Callable[[], object]) -> None:
    """Look until the connection ends, or it is wanted no more."""
    look()
    while wanted():
        ready, _, _ = select.select([events], [], [], LOOK_S)
        if not ready:
            continue
        time.sleep(_SETTLE_S)  # a start of many containers is one piece of news
        if not events.recv(1 << 16):
            return
        look()


@contextmanager
def _events(path: Path) -> Iterator[sockets.socket]:
    """Connect, with the answer's head read. Raises OSError if Docker does not run, or refuses."""
    if dockerd.is_systemds(path) and dockerd.pid_by_file({}) is None:
        raise ConnectionRefusedError
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as connection:
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(path))
        connection.sendall(_REQUEST)
        head = b""
        while b"\n" not in head and (more := connection.recv(256)):
            head += more
        if head.split(maxsplit=2)[1:2] != [b"200"]:
            raise ConnectionRefusedError(f"Docker does not tell its news: {head!r:.80}")
        yield connection
