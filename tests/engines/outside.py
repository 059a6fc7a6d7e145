"""The world outside of the overlay: a machine on the underlay that serves, asks, and says whom it saw.

An answer is text; what gives none says so in words, so that outcomes can be compared.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from integration.etcd.api import fetch
from integration.hosts.engines import EngineContainer
from integration.lab import Host
from integration.net.namespaces import in_namespace

PORT = 8000
SILENT = "no answer"
REFUSED = "refused"
TRIES = 2
PATIENCE_S = 3


@dataclass(frozen=True)
class World:
    """The machine; `url` answers with the address that it sees asking."""

    host: Host

    @property
    def address(self) -> str:
        return self.host.address

    @property
    def namespace(self) -> str:
        return self.host.namespace


@contextmanager
def echoing(namespace: str, port: int) -> Iterator[None]:
    """Answer every datagram to a port of a namespace with the address it came from."""

    def bound() -> socket.socket:
        inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inbox.bind(("0.0.0.0", port))
        return inbox

    ended = threading.Event()
    inbox = in_namespace(namespace, bound)
    inbox.settimeout(0.1)
    thread = threading.Thread(target=_echo, args=(inbox, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        inbox.close()


def _echo(inbox: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        with suppress(TimeoutError):
            _asked, peer = inbox.recvfrom(100)
            inbox.sendto(peer[0].encode(), peer)


@contextmanager
def serving(host: Host) -> Iterator[World]:
    """Serve on a host that has neither flanpyd nor Docker."""
    listener = in_namespace(host.namespace, lambda: socket.create_server((host.address, PORT)))
    thread = threading.Thread(target=_serve, args=(listener,))
    thread.start()
    try:
        yield World(host)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _serve(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, peer = listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(10)
                connection.recv(4096)
                connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{peer[0]}".encode())


def ask(namespace: str, address: str, port: int, *, tries: int = TRIES) -> str:
    """GET from inside a namespace. Packets that are dropped are waited for twice: machines stand still at times."""
    for _ in range(tries):
        try:
            said = fetch(namespace, (address, port), "/cgi-bin/whoami", timeout=PATIENCE_S)[1]
            return re.sub(r"\[(?:::ffff:)?([\d.]+)\]", r"\1", said.strip())  # how busybox writes an address
        except ConnectionRefusedError:
            return REFUSED
        except OSError:
            continue
    return SILENT


def ping_by_name(container: EngineContainer, name: str) -> str:
    """Ping from inside a container, its own resolver asked for the name: who that is, and whether it answers."""
    done = container.exec("ping", "-c", "3", "-i", "0.3", "-W", str(PATIENCE_S), name, check=False)
    if (found := re.search(r"PING \S+ \((\S+)\)", done.stdout)) is None:
        return done.stderr.strip() or f"exit {done.returncode}"
    return f"{found[1]} {'answers' if done.returncode == 0 else SILENT}"


def ask_udp(namespace: str, address: str, port: int) -> str:
    """A datagram there and what comes back."""
    with in_namespace(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as outbox:
        outbox.settimeout(PATIENCE_S)
        for _ in range(TRIES):
            with suppress(TimeoutError):
                outbox.sendto(b"ping\n", (address, port))
                return outbox.recv(100).decode().strip()
    return SILENT
