"""The client of the local daemon's control socket: HTTP/1.1 and JSON over a unix socket.

Owns the connection and the reading of errors. Must not import aiohttp or asyncio (start-up time), nor give answers a
meaning: they go to the commands as the daemon sent them.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flanpy.errors import ControlError, ControlUnreachable
from flanpy.files import links
from flanpy.printable import on_one_line, plain

SOCKET_NAME: Final = "flanpyd.sock"
DEADLINE_S: Final = 5.0


LONGEST_S: Final = 60.0
"""An answer that drips ends after so long: root asks, and the daemon's user answers."""

_SHORT: Final = "status"

LARGEST: Final = 1 << 28


class _Socket(socket.socket):
    """Waits `patience` for each piece of an answer, and no longer than LONGEST_S for all of it.

    A piece that does not come is waited for on and on while `is_at_work`: documents of 25,000 leases take their time.
    """

    def __init__(self, patience: float, is_at_work: Callable[[], bool]) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._is_at_work = is_at_work
        self.settimeout(patience)
        self._patience = patience
        self._until = time.monotonic() + patience + LONGEST_S

    def wait_for_room(self, path: str) -> None:
        """Connect within `patience`: while the backlog is full the kernel has only a blocking socket wait."""
        whole = int(self._patience)
        self.settimeout(None)
        limit = struct.pack("@ll", whole, max(1, int((self._patience - whole) * 1_000_000)))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            self.connect(path)
        except BlockingIOError as error:
            raise TimeoutError("too many others ask") from error
        self.settimeout(self._patience)

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer does not end")
            self.settimeout(min(self._patience, left))
            try:
                return super().recv_into(*arguments, **more)
            except TimeoutError:
                if not self._is_at_work():
                    raise


def _nobody_knows() -> bool:
    return False


def _connected(path: Path, patience: float, is_at_work: Callable[[], bool] = _nobody_knows) -> _Socket:
    """To the socket of that name itself: a link of another user than root and us leads root to nobody else's."""
    descriptor = os.open(links.followed(path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no socket", str(path))
        sock = _Socket(patience, is_at_work)
        try:
            sock.wait_for_room(f"/proc/self/fd/{descriptor}")
        except BaseException:
            sock.close()
            raise
        return sock
    finally:
        os.close(descriptor)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, deadline: float, is_at_work: Callable[[], bool] = _nobody_knows) -> None:
        super().__init__("flanpyd", timeout=deadline)
        self._path = path
        self._patience = deadline
        self._is_at_work = is_at_work

    def connect(self) -> None:
        self.sock = _connected(self._path, self._patience, self._is_at_work)


class Control:
    """The daemon of one run directory. Each call is one request on a connection of its own."""

    def __init__(self, run_dir: Path, *, deadline: float = DEADLINE_S) -> None:
        self.path = run_dir / SOCKET_NAME
        self._deadline = deadline
        self.answered = ""
        """The resource that was answered last, "" before any was."""

    def answers(self) -> bool:
        """Report whether a process listens on the socket now; true as well if we lack the permission to know."""
        try:
            _connected(self.path, self._deadline).close()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except OSError:
            return True
        return True

    def get(self, resource: str) -> Any:
        """Get the JSON under `/v1/<resource>`. ControlUnreachable without an answer, ControlError on a bad one."""
        return self._call("GET", resource)

    def post(self, resource: str, *, deadline: float | None = None) -> Any:
        """Ask for an action; its JSON answer. Raises as `get`."""
        return self._call("POST", resource, deadline)

    def _call(self, method: str, resource: str, deadline: float | None = None) -> Any:
        can_be_long = method == "GET" and resource != _SHORT
        is_at_work = self._is_at_work if can_be_long else _nobody_knows
        connection = _UnixConnection(self.path, deadline or self._deadline, is_at_work)
        try:
            connection.request(method, f"/v1/{resource}")
            answer = connection.getresponse()
            status, body = answer.status, answer.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._trouble(error, resource) from error
        finally:
            connection.close()
        return self._decoded(status, body, resource)

    def _is_at_work(self) -> bool:
        """Report whether the daemon answers what is short however many peers there are."""
        try:
            self.get(_SHORT)
        except ControlError:
            return False
        return True

    def _trouble(self, error: Exception, resource: str) -> ControlError:
        match error:
            case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
                return ControlUnreachable(
                    f"no flanpyd listens on {self.path}: systemctl start flanpyd, or name its directory with --run-dir"
                )
            case PermissionError():
                return ControlUnreachable(f"no permission to use {self.path}: run as root or as its group")
            case TimeoutError():
                return ControlUnreachable(
                    f"flanpyd on {self.path} gave no answer to {resource!r} in {self._deadline:g} s: see its log"
                )
            case _:
                return ControlUnreachable(f"flanpyd on {self.path} cannot be asked ({error}): see its log")

    def _decoded(self, status: int, body: bytes, resource: str) -> Any:
        if len(body) > LARGEST:
            raise ControlError(f"flanpyd on {self.path} answered {resource!r} with more than {LARGEST} bytes")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ControlError(
                f"flanpyd on {self.path} answered {resource!r} with no JSON (HTTP {status}): do the versions match?"
            ) from error
        if status >= 400:
            text = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise ControlError(f"flanpyd refused {resource!r} (HTTP {status}): {on_one_line(str(text))}")
        self.answered = resource
        # What etcd and peers say is in it: a backslash in the text is the only way in which a control can come.
        return plain(answer) if b"\\" in body else answer
