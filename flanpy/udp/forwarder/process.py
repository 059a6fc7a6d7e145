"""The daemon's side of the forwarder: starts it, hands it tables, asks for its counters, notices its end.

Must not: decide what is in a table, or start it again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from flanpy.children import DIRECTORY, command_of
from flanpy.errors import KernelError
from flanpy.model.tunnel import Count, TunnelTable
from flanpy.udp.forwarder.control import ACCEPTED, COUNTERS, COUNTS, GENERATION, HANDED, LONGEST, TABLE
from flanpy.udp.forwarder.wire_table import to_memfd


class WaitingProcess:
    """A forwarder that loads what it needs, and then waits for what to forward between; `start` makes one.

    Ends itself when this object's sockets are closed.
    """

    def __init__(self, process: asyncio.subprocess.Process, controls: Sequence[socket.socket]) -> None:
        self._process = process
        self._controls = tuple(controls)

    @classmethod
    async def start(cls) -> WaitingProcess:
        """Start it. Raises KernelError."""
        ours, theirs = zip(*(_control_pair() for _ in range(2)), strict=True)
        descriptors = [end.fileno() for end in theirs]
        try:
            process = await asyncio.create_subprocess_exec(
                *command_of("flanpy.udp.forwarder"), *map(str, descriptors),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=descriptors, env=_environment(), cwd=DIRECTORY,
            )  # fmt: skip
        except OSError as error:
            for end in ours:
                end.close()
            raise KernelError("cannot start the user-space data plane", errno=error.errno or 0) from error
        finally:
            for end in theirs:
                end.close()
        return cls(process, ours)

    @property
    def waits(self) -> bool:
        """Report whether the process still runs."""
        return self._process.returncode is None

    def begin(self, queue: int, sock: socket.socket) -> ForwarderProcess:
        """Let it forward between these, which stay the caller's too. Raises KernelError if it has ended."""
        try:
            for control in self._controls:
                socket.send_fds(control, [HANDED], [queue, sock.fileno()])
        except OSError as error:
            self.kill()
            raise KernelError("the user-space data plane has ended", errno=error.errno or 0) from error
        return ForwarderProcess(self._process, self._controls)

    def kill(self) -> None:
        """End it at once; does nothing if it has ended."""
        with suppress(ProcessLookupError):
            self._process.kill()
        for end in self._controls:
            end.close()


class ForwarderProcess:
    """A running forwarder; `spawn` makes one. Ends itself when this object's sockets are closed."""

    def __init__(self, process: asyncio.subprocess.Process, controls: Sequence[socket.socket]) -> None:
        self._process = process
        self._controls = tuple(controls)
        self._turn = asyncio.Lock()

    @classmethod
    async def spawn(cls, queues: Sequence[int], sock: socket.socket) -> ForwarderProcess:
        """Start it between the first of `queues` and `sock`, which stay the caller's too. Raises KernelError."""
        waiting = await WaitingProcess.start()
        return waiting.begin(queues[0], sock)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def set_table(self, table: TunnelTable, generation: int) -> None:
        """Returns when the table is in force in both directions. Raises KernelError if it is refused or ended."""
        async with self._turn:
            request = GENERATION.pack(TABLE, generation)
            answers = await asyncio.gather(*(self._ask(end, request, table) for end in self._controls))
        for answer in answers:
            if answer != GENERATION.pack(ACCEPTED, generation):
                raise KernelError(f"the user-space data plane refused its table: {answer[1:]!r}")

    async def counters(self) -> dict[Count, int]:
        """Return the counters of both directions since the start. Raises KernelError if the process has ended."""
        async with self._turn:
            answers = await asyncio.gather(*(self._ask(end, COUNTERS) for end in self._controls))
        try:
            columns = zip(*(COUNTS.unpack(answer)[1:] for answer in answers), strict=True)
        except struct.error as error:
            raise KernelError(f"the user-space data plane talks nonsense: {error}") from error
        return dict(zip(Count, map(sum, columns), strict=True))

    async def wait_ended(self) -> str:
        code = await self._process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        for end in self._controls:
            end.close()

    async def _ask(self, end: socket.socket, request: bytes, table: TunnelTable | None = None) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            if table is None:
                end.send(request)
            else:
                _send_table(end, request, table)
            answer = await loop.sock_recv(end, LONGEST)
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            raise KernelError(f"the user-space data plane does not answer: {error}") from error
        if not answer:
            raise KernelError("the user-space data plane has ended")
        return answer


def _send_table(end: socket.socket, request: bytes, table: TunnelTable) -> None:
    descriptor = to_memfd(table)
    try:
        socket.send_fds(end, [request], [descriptor])
    finally:
        os.close(descriptor)


def _control_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def _environment() -> dict[str, str]:
    """Nothing of ours but where programs are; numpy needs no threads of its own."""
    kept = {"PATH": os.environ["PATH"]} if "PATH" in os.environ else {}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}
