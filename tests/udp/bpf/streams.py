"""Traffic between containers whose arrival is checked byte by byte: a TCP stream by its hash, datagrams one by one."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from contextlib import closing

from tests.netns import Namespace
from tests.udp.bpf.hosts import Host

_DEADLINE_S = 60
_PORT = 7000


def _listener(at: Namespace) -> socket.socket:
    def opened() -> socket.socket:
        sock = socket.create_server(("0.0.0.0", _PORT))
        sock.settimeout(_DEADLINE_S)
        return sock

    return at.do(opened)


def stream_hashes(source: Host, target: Host, size: int) -> tuple[str, str]:
    """Hashes of what one container sent to another by TCP, and of what arrived."""
    arrived = hashlib.sha256()

    def receive(listener: socket.socket) -> None:
        with closing(listener), listener.accept()[0] as connection:
            connection.settimeout(_DEADLINE_S)
            while chunk := connection.recv(1 << 20):
                arrived.update(chunk)

    receiver = threading.Thread(target=receive, args=(_listener(target.container),))
    receiver.start()
    sent = source.container.do(lambda: _send(str(target.inside), size))
    receiver.join(_DEADLINE_S)
    return sent, arrived.hexdigest()


def _send(to: str, size: int) -> str:
    sent = hashlib.sha256()
    with socket.create_connection((to, _PORT), timeout=_DEADLINE_S) as sock:
        block = hashlib.sha256(b"flanpy").digest() * 2048
        for number in range(size // len(block)):
            chunk = number.to_bytes(8, "big") + block[8:]
            sock.sendall(chunk)
            sent.update(chunk)
    return sent.hexdigest()


def udp_socket(at: Host, port: int = 0) -> socket.socket:
    """A UDP socket in the host's container."""

    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        sock.settimeout(_DEADLINE_S)
        sock.bind((str(at.inside), port))
        return sock

    return at.container.do(opened)


def lost_datagrams(source: Host, target: Host, meanwhile: Callable[[int], None], *, count: int) -> int:
    """Return how many of `count` numbered datagrams did not arrive; call `meanwhile(number)` before each.

    The receiver's queue holds all of them, so that none is lost there.
    """
    with closing(udp_socket(source)) as sender, closing(udp_socket(target, _PORT)) as receiver:
        for number in range(count):
            meanwhile(number)
            sender.sendto(number.to_bytes(4, "big"), (str(target.inside), _PORT))
        receiver.settimeout(30)
        arrived: set[bytes] = set()
        while len(arrived) < count:
            try:
                arrived.add(receiver.recv(64))
            except TimeoutError:
                break
        return count - len(arrived)
