"""A steady flow of numbered datagrams from one container to another, and which of them arrived."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from tests.netns import Namespace

_PORT, _EVERY_S = 7000, 0.004


@dataclass
class Flow:
    """`sent` has the time of each datagram by its number; `arrived` the numbers that came."""

    sent: list[float] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def run_for(self, seconds: float) -> None:
        """Let it flow."""
        until = len(self.sent) + int(seconds / _EVERY_S)
        deadline = time.monotonic() + 30
        while len(self.sent) < until and time.monotonic() < deadline:
            time.sleep(_EVERY_S)

    def lost(self, since: float = 0.0, until: float = float("inf")) -> list[int]:
        """Return the numbers of those sent in this time that did not arrive."""
        return [n for n, at in enumerate(self.sent) if since <= at < until and n not in self.arrived]

    def delivered(self, since: float) -> list[int]:
        """Return the numbers of those sent since then that arrived."""
        return [n for n, at in enumerate(self.sent) if at >= since and n in self.arrived]

    def send(self, sock: socket.socket, to: IPv4Address, size: int) -> None:
        while not self._over.is_set():
            number = len(self.sent)
            self.sent.append(time.monotonic())
            with suppress(OSError):  # the network says that it cannot
                sock.sendto(number.to_bytes(4, "big").ljust(size, b"."), (str(to), _PORT))
            time.sleep(_EVERY_S)

    def receive(self, sock: socket.socket, *, answer: bool) -> None:
        while True:
            try:
                said, source = sock.recvfrom(2048)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            self.arrived.add(int.from_bytes(said[:4], "big"))
            if answer:
                sock.sendto(said, source)

    def stop(self) -> None:
        self._over.set()


@contextmanager
def flowing(
    source: Namespace, target: Namespace, to: IPv4Address, *, size: int = 64, answer: bool = True
) -> Iterator[Flow]:
    """Have it flow; at the end all that is on its way arrives."""

    def opened(at: Namespace, port: int) -> socket.socket:
        def work() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(0.3)
            sock.bind(("0.0.0.0", port))
            return sock

        return at.do(work)

    flow = Flow()
    with closing(opened(source, 0)) as sender, closing(opened(target, _PORT)) as receiver:
        threads = [
            threading.Thread(target=flow.send, args=(sender, to, size)),
            threading.Thread(target=flow.receive, args=(receiver,), kwargs={"answer": answer}),
        ]
        for thread in threads:
            thread.start()
        try:
            yield flow
        finally:
            flow.stop()
            for thread in threads:
                thread.join(10)
