"""The kernel objects that were put and deleted, and when: by netlink's notifications, with timestamps of our own.

A thread reads one socket; the kernel sends a notification while it carries out the change, so a timestamp is late by
no more than the reader's wake-up, and the reader asks to be run before anything else. It must not be told anything by
the daemon under test.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from flanpy.kernel.request import enlarge_receive_buffer
from flanpy.netlink import rtnl
from flanpy.netlink.framing import HEADER_SIZE, attributes, messages
from flanpy.netlink.rtnl import NDA, RTA
from integration.etcd.peers import Peer

Mark = tuple[str, bytes]
"""One kernel object being put ("route", "neighbour", "fdb") or deleted ("-route", ...), by what it is known by."""

_GROUPS = (3, 7)  # RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE
_BUFFER_BYTES = 128 << 20
_NDM_AT, _RTM_AT = HEADER_SIZE + 12, HEADER_SIZE + 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1


def put_marks(peer: Peer) -> tuple[Mark, Mark, Mark]:
    """Return the marks of a tunnelled peer's three objects, in the order in which they are put."""
    vtep = peer.subnet.network_address.packed
    return ("neighbour", vtep), ("fdb", bytes.fromhex(peer.vtep_mac.replace(":", ""))), ("route", vtep)


def delete_marks(peer: Peer) -> tuple[Mark, ...]:
    """Return the marks of the same three objects when they are deleted."""
    return tuple((f"-{kind}", key) for kind, key in put_marks(peer))


def open_events() -> socket.socket:
    """A socket for `KernelWatch` in the network namespace of the calling thread."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    enlarge_receive_buffer(sock, _BUFFER_BYTES)
    sock.bind((0, 0))
    for group in _GROUPS:
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    sock.settimeout(0.2)
    return sock


class KernelWatch:
    """Collects marks from now on; a context manager. `seen` is when (monotonic ns) each mark came last."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pending: set[Mark] = set()
        self._complete = threading.Event()
        self._lock = threading.Lock()
        self._stop = False
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=self._read, name="kernel-watch", daemon=True)
        self.seen: dict[Mark, int] = {}
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._thread.join()
        self._sock.close()

    def expect(self, marks: Iterable[Mark]) -> Callable[[float], int]:
        """Call before the change; the result waits up to so many seconds and gives when the last mark came, in ns."""
        wanted = list(marks)
        with self._lock:
            for mark in wanted:
                self.seen.pop(mark, None)
            self._pending = set(wanted)
            self._complete.clear()

        def wait(deadline: float) -> int:
            done = self._complete.wait(deadline)
            if self._trouble is not None:
                raise self._trouble
            if not done:
                raise TimeoutError(
                    f"{len(self._pending)} of {len(wanted)} kernel objects missing after {deadline:g} s"
                )
            return max(self.seen[mark] for mark in wanted)

        return wait

    def _read(self) -> None:
        with suppress(
            OSError
        ):  # this thread only; without it a timestamp can be a millisecond late on busy cores
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        while not self._stop:
            try:
                datagram = self._sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError as error:
                self._trouble = error
                self._complete.set()
                return
            now = time.monotonic_ns()
            with self._lock:
                for start, end, kind, _flags, _sequence, _port in messages(datagram):
                    self._note(_mark(datagram, start, end, kind), now)

    def _note(self, mark: Mark | None, now: int) -> None:
        if mark is None:
            return
        self.count += 1
        self.seen[mark] = now
        if mark in self._pending:
            self._pending.discard(mark)
            if not self._pending:
                self._complete.set()


def _mark(buffer: bytes, start: int, end: int, kind: int) -> Mark | None:
    if kind in (rtnl.NEWROUTE, rtnl.DELROUTE):
        destination = attributes(buffer, start + _RTM_AT, end).get(RTA["RTA_DST"])
        sign = "" if kind == rtnl.NEWROUTE else "-"
        return (f"{sign}route", destination) if destination else None
    if kind in (rtnl.NEWNEIGH, rtnl.DELNEIGH):
        is_fdb = buffer[start + HEADER_SIZE] == rtnl.AF_BRIDGE
        number = NDA["NDA_LLADDR"] if is_fdb else NDA["NDA_DST"]
        key = attributes(buffer, start + _NDM_AT, end).get(number)
        sign = "" if kind == rtnl.NEWNEIGH else "-"
        return (f"{sign}{'fdb' if is_fdb else 'neighbour'}", key) if key else None
    return None
