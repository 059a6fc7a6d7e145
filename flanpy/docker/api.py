"""Docker's API for the daemon: a few GETs over the unix socket, without the SDK and without a client library.

Owns the connection: one a request, HTTP/1.0, so that the answer ends with it. Must not start Docker, nor take the
Docker of another network namespace for this host's.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket as sockets
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flanpy.docker import dockerd
from flanpy.docker.facts import DockerFacts, facts
from flanpy.docker.verdict import Silence, Silent
from flanpy.errors import MALFORMED, DockerError
from flanpy.model.bridge import DOCKER_NETWORK

DEADLINE_S: Final = 5.0
NOT_DOCKER: Final = (DockerError, *MALFORMED)
"""What reading an answer may raise if it is none of Docker's: whatever it is, it must not end the daemon."""

_LARGEST: Final = 8 << 20
_PEER: Final = struct.Struct("=iII")


class DockerElsewhere(Exception):
    """The socket leads to a process of another network namespace."""


async def look(path: Path, told: dict[str, Any], *, deadline: float = DEADLINE_S) -> DockerFacts | Silent:
    """Return the state of the Docker behind `path`, or the reason it is unknown; never raises for Docker's faults."""
    if _is_forbidden(path):
        # Before all else: who may not use the socket may not see dockerd's process either (ProtectProc=).
        return _forbidden(path)
    if dockerd.is_systemds(path) and dockerd.pid_by_file(told) is None:
        return Silent(Silence.NOT_RUNNING, "Docker does not run")
    try:
        async with asyncio.timeout(deadline):
            info = await _get(path, "/info")
            default = await _get(path, "/networks/bridge")
            own = await _get(path, f"/networks/{DOCKER_NETWORK}")
        return facts(info or {}, default, own)
    except TimeoutError:
        return Silent(Silence.HUNG, f"Docker on {path} gave no answer in {deadline:g} s")
    except PermissionError:
        return _forbidden(path)
    except DockerElsewhere:
        return Silent(Silence.ELSEWHERE, f"the Docker on {path} runs in another network namespace")
    except (OSError, EOFError):
        return Silent(Silence.NOT_RUNNING, f"no Docker listens on {path}")
    except NOT_DOCKER as error:
        return Silent(
            Silence.STRANGE, f"what listens on {path} does not answer as Docker does: {error!r:.200}"
        )


def _is_forbidden(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(path, os.W_OK)


def _forbidden(path: Path) -> Silent:
    return Silent(Silence.FORBIDDEN, f"no permission to use {path}")


async def _get(path: Path, resource: str) -> dict[str, Any] | None:
    """The document, None if there is none. Raises OSError, EOFError, ValueError."""
    document = await get(path, resource)
    if document is not None and not isinstance(document, dict):
        raise ValueError(f"no object for {resource}")
    return document


async def get(path: Path, resource: str) -> Any:
    """Return any document, None if there is none.

    Raises OSError, EOFError, ValueError, DockerElsewhere.
    """
    reader, writer = await _asked(path, resource)
    try:
        answer = await _read_all(reader)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        raise EOFError
    status = int(head.split(maxsplit=2)[1])
    if status == 404:
        return None
    document = json.loads(body)
    if status != 200:
        raise ValueError(f"HTTP {status} for {resource}")
    return document


async def events(path: Path, kinds: Sequence[str], told: asyncio.Event) -> None:
    """Set `told` at once, as Docker listens from then on, and at each event, until Docker ends the stream.

    Raises as `get`, and EOFError when the stream ends. What an event says is left unread: the state is looked at again.
    """
    wanted = quote(json.dumps({"type": ["container", "network"], "event": list(kinds)}))
    reader, writer = await _asked(path, f"/events?filters={wanted}")
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(maxsplit=2)[1] != b"200":
            raise ValueError("HTTP error for /events")
        told.set()
        while await reader.read(1 << 16):
            told.set()
        raise EOFError
    finally:
        writer.close()


async def _asked(path: Path, resource: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        _refuse_elsewhere(writer.get_extra_info("socket"))
        writer.write(f"GET {resource} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        await writer.drain()
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise ValueError("its answer is too long")
    return b"".join(parts)


def _refuse_elsewhere(connection: sockets.socket) -> None:
    """Raise DockerElsewhere if the socket's maker (unix(7)) is in another network namespace.

    A maker that we may not inspect is taken for this host's.
    """
    with suppress(OSError):
        credentials = connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _PEER.size)
        pid = _PEER.unpack(credentials)[0]
        # A peer of another PID namespace has no number here.
        if pid and os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"):  # noqa: PTH115
            raise DockerElsewhere
