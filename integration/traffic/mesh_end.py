"""One end of every flow of a container, as a program: numbered packets to all other containers, and what did not come.

Run inside a container by flows.py with nothing but the stdlib. A packet carries its number and when it was sent, by the
clock that all namespaces share: so a loss is told in the sender's time, and a machine that stands still loses nothing.
SIGTERM ends it; each loss is a JSON line, the last line is what was sent and seen.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import struct
import sys
import time
from types import FrameType

PACKET = struct.Struct("!QQ")
_SO_RCVBUFFORCE = 33  # of linux/asm-generic/socket.h; Python has no name for it


class Ended(Exception):
    """SIGTERM came."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended


class Arrivals:
    """What comes, by whom it comes from."""

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
            packet, (source, _port) = inbox.recvfrom(64)
        except BlockingIOError:
            return
        arrivals.arrived(source, *PACKET.unpack(packet))


def run(address: str, port: int, interval_ns: int, peers: list[str]) -> dict[str, object]:
    """Send one packet to every peer each interval, and read what comes, until SIGTERM."""
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
                packet = PACKET.pack(sent, now)
                sent += 1
                for peer in peers:
                    with contextlib.suppress(OSError):  # no route: sent and lost
                        end.sendto(packet, (peer, port))
            select.select([end], [], [], max(0, due - time.monotonic_ns()) / 1e9)
            _drain(end, arrivals)
    return {"sent": sent, "seen": arrivals.seen, "received": arrivals.received}


def main() -> None:
    """ADDRESS PORT INTERVAL-NS PEER ..."""
    signal.signal(signal.SIGTERM, _end)
    found = run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _tell(found)


if __name__ == "__main__":
    main()
