"""`path_end (tcp|udp|paced) (receive|send) ADDRESS PORT SECONDS [RATE]`: one end of a flood.

A receiver prints what came a second. `paced` sends RATE datagrams a second, and both ends print their count.

Only the standard library, so that it starts at once. The receiver prints "listening" first. UDP goes out and comes in
by sendmmsg and recvmmsg, 64 datagrams a call, as one call for each would measure Python.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import time

CHUNK = 256 << 10
PAYLOAD = 64
AT_ONCE = 64
WARM_UP_S = 0.3
_MSG_WAITFORONE = 0x10000
_SO_RCVBUFFORCE = 33
_libc = ctypes.CDLL(None, use_errno=True)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_IoVec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Datagrams:
    """Room for a batch of datagrams."""

    def __init__(self) -> None:
        self._room = ctypes.create_string_buffer(AT_ONCE * PAYLOAD)
        start = ctypes.addressof(self._room)
        self._vectors = (_IoVec * AT_ONCE)(*(_IoVec(start + at * PAYLOAD, PAYLOAD) for at in range(AT_ONCE)))
        self._messages = (_Message * AT_ONCE)()
        for message, vector in zip(self._messages, self._vectors, strict=True):
            message.header.iov, message.header.iovlen = ctypes.pointer(vector), 1

    def send(self, sock: socket.socket, count: int = AT_ONCE) -> int:
        """Send so many; how many the kernel took."""
        return _checked(_libc.sendmmsg(sock.fileno(), self._messages, count, 0))

    def receive(self, sock: socket.socket) -> int:
        """Wait for one and take what else is there; how many came."""
        return _checked(_libc.recvmmsg(sock.fileno(), self._messages, AT_ONCE, _MSG_WAITFORONE, None))


def _checked(count: int) -> int:
    if count < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return count


def receive_tcp(address: str, port: int, seconds: float) -> dict[str, float]:
    """Bytes a second from after the warm-up to the end of the time."""
    room = bytearray(4 * CHUNK)
    with socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        connection, _peer = listener.accept()
        with connection:
            _read_for(connection, room, WARM_UP_S)
            began = time.monotonic()
            got = _read_for(connection, room, seconds)
            return {"per_second": got / (time.monotonic() - began)}


def _read_for(connection: socket.socket, room: bytearray, seconds: float) -> int:
    got, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and (some := connection.recv_into(room)):
        got += some
    return got


def send_tcp(address: str, port: int, seconds: float) -> None:
    """As fast as it goes, until the receiver hangs up."""
    chunk = bytes(CHUNK)
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.settimeout(None)
        end = time.monotonic() + seconds + WARM_UP_S + 5
        try:
            while time.monotonic() < end:
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            return


def receive_udp(address: str, port: int, seconds: float) -> dict[str, float]:
    """Datagrams a second from after the warm-up to the end of the time."""
    batch = Datagrams()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        inbox.bind((address, port))
        print("listening", flush=True)
        _count_for(inbox, batch, WARM_UP_S)
        began = time.monotonic()
        got = _count_for(inbox, batch, seconds)
        return {"per_second": got / (time.monotonic() - began)}


def _count_for(inbox: socket.socket, batch: Datagrams, seconds: float) -> int:
    got = batch.receive(inbox)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got += batch.receive(inbox)
    return got


def send_udp(address: str, port: int, seconds: float) -> None:
    """As fast as it goes, a little longer than the receiver counts."""
    batch, end = Datagrams(), time.monotonic() + seconds + 2 * WARM_UP_S + 0.5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outbox:
        outbox.connect((address, port))
        while time.monotonic() < end:
            try:
                batch.send(outbox)
            except ConnectionRefusedError:  # the receiver is done
                return


def receive_paced(address: str, port: int) -> dict[str, float]:
    """All that came until nothing more does."""
    batch, got = Datagrams(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        inbox.bind((address, port))
        print("listening", flush=True)
        patience = 5000
        poll = select.poll()
        poll.register(inbox, select.POLLIN)
        while poll.poll(patience):
            got += batch.receive(inbox)
            patience = 500
    return {"count": got}


def send_paced(address: str, port: int, seconds: float, rate: float) -> dict[str, float]:
    """So many a second, in small bursts as they come due."""
    batch, sent, began = Datagrams(), 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outbox:
        outbox.connect((address, port))
        while (now := time.monotonic() - began) < seconds:
            due = int(now * rate) - sent
            sent += batch.send(outbox, min(due, AT_ONCE)) if due > 0 else 0
    return {"count": sent}


def main() -> None:
    protocol, role, address, port, seconds = sys.argv[1:6]
    if protocol == "paced":
        sends = role == "send"
        said = (
            send_paced(address, int(port), float(seconds), float(sys.argv[6]))
            if sends
            else receive_paced(address, int(port))
        )
        print(json.dumps(said), flush=True)
    elif role == "send":
        (send_tcp if protocol == "tcp" else send_udp)(address, int(port), float(seconds))
    else:
        receive = receive_tcp if protocol == "tcp" else receive_udp
        print(json.dumps(receive(address, int(port), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
