"""One end of a stream, a probe or a mesh, as a program: run inside a container with nothing but the stdlib.

It must import nothing of the project, so that it starts in a few milliseconds. All ends of one machine share the
monotonic clock, so a receiver can tell the age of what it reads. SIGTERM ends an end; its last line of output is its
report as JSON. Receivers keep a page of shared memory up to date, so that the test can look while traffic flows.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

HEADER = struct.Struct("!QQ")  # sequence number, sender's monotonic nanoseconds
CHUNK = 16_384
DATAGRAM = 64
_SO_RCVBUFFORCE = 33  # of linux/asm-generic/socket.h; Python has no name for it
# The shared page, in 8-byte cells that are stored whole: what the test reads, then the mark it sets and its echo.
AMOUNT, LAST, LONGEST, MARK, ECHO = range(5)
PATTERN = bytes((7 * n + n // 251) % 256 for n in range(CHUNK - HEADER.size))


class Ended(Exception):
    """SIGTERM came."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended


class Gauge:
    """Counts what arrives and the longest silence, where the test can see it."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._cells = cells(mmap.mmap(file.fileno(), mmap.PAGESIZE))
        self.amount = 0
        self.first = 0
        self.last = 0
        self.longest = 0
        self._longest_since_mark = 0

    def arrived(self, amount: int) -> None:
        """Note an arrival now. A gap that began before the mark counts whole: it had not ended then."""
        now = time.monotonic_ns()
        mark = self._cells[MARK]
        if mark != self._cells[ECHO]:
            self._longest_since_mark = 0
        if self.last:
            gap = now - self.last
            self.longest = max(self.longest, gap)
            self._longest_since_mark = max(self._longest_since_mark, gap)
        else:
            self.first = now
        self.last = now
        self.amount += amount
        self._cells[LONGEST] = self._longest_since_mark
        self._cells[LAST] = now
        self._cells[AMOUNT] = self.amount
        self._cells[ECHO] = mark

    def times(self) -> dict[str, int]:
        """The report's part about time, in nanoseconds; silence up to now counts as a gap too."""
        return {
            "first": self.first,
            "last": self.last,
            "longest_gap": self.longest,
            "ended": time.monotonic_ns(),
        }


def cells(page: mmap.mmap) -> memoryview[int]:
    """The page as cells; a struct would be zeroed before it is packed, and the other side would see that."""
    return memoryview(page).cast("Q")


def receive_stream(address: str, port: int, gauge: Gauge) -> dict[str, object]:
    """Take one connection and check that every chunk is the next one and is whole."""
    intact, in_order, closed, expected, oldest = True, True, False, 0, 0
    with contextlib.suppress(Ended), socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        connection, _peer = listener.accept()
        with connection:
            for chunk in _chunks(connection, gauge):
                sequence, sent_at = HEADER.unpack_from(chunk)
                in_order = in_order and sequence == expected
                intact = intact and chunk[HEADER.size :] == PATTERN
                oldest = max(oldest, time.monotonic_ns() - sent_at)
                expected += 1
            closed = True
    return {"intact": intact, "in_order": in_order, "closed": closed, "chunks": expected, "oldest": oldest}


def _chunks(connection: socket.socket, gauge: Gauge) -> Iterator[bytearray]:
    chunk, filled = bytearray(CHUNK), 0
    view = memoryview(chunk)
    while got := connection.recv_into(view[filled:]):
        filled += got
        gauge.arrived(got)
        if filled == CHUNK:
            yield chunk
            filled = 0


def send_stream(address: str, port: int, interval_ns: int) -> dict[str, object]:
    """Send numbered chunks, one each `interval_ns` (0: as fast as they go)."""
    sent, chunk = 0, bytearray(HEADER.size) + PATTERN
    with contextlib.suppress(Ended), socket.create_connection((address, port), timeout=20) as connection:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("connected", flush=True)
        for sequence in _ticks(interval_ns):
            HEADER.pack_into(chunk, 0, sequence, time.monotonic_ns())
            connection.sendall(chunk)
            sent += 1
    return {"sent": sent}


def _ticks(interval_ns: int) -> Iterator[int]:
    """Count forever, one number per interval; a tick that is late does not delay the next ones."""
    sequence, due = 0, time.monotonic_ns()
    while True:
        yield sequence
        sequence += 1
        due += interval_ns
        if (rest := due - time.monotonic_ns()) > 0:
            time.sleep(rest / 1e9)


def receive_probe(address: str, port: int, gauge: Gauge) -> dict[str, object]:
    """Count datagrams, each once, and how many overtook another."""
    seen: set[int] = set()
    twice, overtaken, highest = 0, 0, -1
    with contextlib.suppress(Ended), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        # Room for many seconds: what a starved receiver drops is no fault of the path.
        inbox.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        inbox.bind((address, port))
        print("listening", flush=True)
        while True:
            datagram = inbox.recv(DATAGRAM)
            sequence, _sent_at = HEADER.unpack_from(datagram)
            twice += sequence in seen
            overtaken += sequence < highest
            seen.add(sequence)
            highest = max(highest, sequence)
            gauge.arrived(len(datagram))
    return {"received": len(seen), "twice": twice, "overtaken": overtaken}


def send_probe(address: str, port: int, interval_ns: int) -> dict[str, object]:
    """Send a numbered datagram each interval; one that cannot be sent (no route) counts as sent and lost.

    The end comes between two datagrams: one that was counted and not sent, or sent and not counted, would be a loss
    that never was.
    """
    sent = refused = 0
    with contextlib.suppress(Ended), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outbox:
        print("connected", flush=True)
        for sequence in _ticks(interval_ns):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            datagram = HEADER.pack(sequence, time.monotonic_ns()).ljust(DATAGRAM, b"\0")
            try:
                outbox.sendto(datagram, (address, port))
            except OSError:
                refused += 1
            sent += 1
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    return {"sent": sent, "refused": refused}


class Arrivals:
    """The arrivals, by sender."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._last_sent: dict[str, int] = {}
        self.received: dict[str, int] = {}

    def arrived(self, source: str, number: int, sent_at: int) -> None:
        """Note a packet; a gap in the numbers is told at once."""
        expected = self._next.get(source, number)
        if number < expected:  # overtaken on the way: it was told as lost, and is not
            _tell({"late": source, "number": number, "sent": sent_at})
        elif number > expected:
            lost = {"source": source, "first": expected, "lost": number - expected}
            _tell(lost | {"from": self._last_sent[source], "to": sent_at})
        self._next[source] = max(expected, number + 1)
        self._last_sent[source] = sent_at
        self.received[source] = self.received.get(source, 0) + 1

    @property
    def seen(self) -> dict[str, dict[str, int]]:
        """Per source, the number that would come next and when the last one that came was sent."""
        return {
            source: {"next": self._next[source], "last": self._last_sent[source]} for source in self._next
        }


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _drain(inbox: socket.socket, arrivals: Arrivals) -> None:
    while True:
        try:
            packet, (source, _port) = inbox.recvfrom(DATAGRAM)
        except BlockingIOError:
            return
        arrivals.arrived(source, *HEADER.unpack(packet))


def mesh(address: str, port: int, interval_ns: int, peers: list[str]) -> dict[str, object]:
    """Send one packet to every peer each interval, and tell what did not come in the sender's time, until SIGTERM."""
    arrivals, sent = Arrivals(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, contextlib.suppress(Ended):
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        end.setblocking(False)
        end.bind((address, port))
        _tell({"ready": address})
        due = time.monotonic_ns()
        while True:
            now = time.monotonic_ns()
            if now >= due:
                due = now + interval_ns  # late ticks are not made up for: a burst is no flow
                packet = HEADER.pack(sent, now)
                sent += 1
                for peer in peers:
                    with contextlib.suppress(OSError):  # no route: sent and lost
                        end.sendto(packet, (peer, port))
            select.select([end], [], [], max(0, due - time.monotonic_ns()) / 1e9)
            _drain(end, arrivals)
    return {"sent": sent, "seen": arrivals.seen, "received": arrivals.received}


def main() -> None:
    """ROLE ADDRESS PORT (GAUGE-FILE | INTERVAL-NS) [PEER ...]."""
    role, address, port, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGTERM, _end)
    report: dict[str, object]
    if role == "mesh":
        report = mesh(address, port, int(last), sys.argv[5:])
    elif role in ("send_stream", "send_probe"):
        send = send_stream if role == "send_stream" else send_probe
        report = send(address, port, int(last))
    else:
        gauge = Gauge(last)
        receive = receive_stream if role == "receive_stream" else receive_probe
        report = {**receive(address, port, gauge), **gauge.times(), "bytes": gauge.amount}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
