"""Channels to etcd: which endpoint is in use, with which credentials, and when a channel is given up.

Owns grpc channels and their options. Must not call etcd: it hands out stubs. One channel at a time is current; the next
endpoint becomes current when the caller says the current one failed, and a channel is closed only after its last call,
because closing one under a call looks to that call like the cancellation of its task.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from flanpy.errors import StoreError, StoreUnavailable
from flanpy.store import etcdpb as pb
from flanpy.store.endpoint import Endpoint
from flanpy.store.session import tls_files
from flanpy.store.session.settings import EtcdSettings, parse_endpoints

KEEPALIVE_S = 10
PING_TIMEOUT_S = 3
_OPTIONS: tuple[tuple[str, Any], ...] = (
    # etcd's server refuses pings more often than every 5 s.
    ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_S * 1000),
    # Without this one grpc 1.85 needs 69 s to notice a hung peer; with it, 13 s.
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_S * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 << 20),
    # Or http_proxy, https_proxy and grpc_proxy of the environment would be dialed in etcd's place, no_proxy or not.
    ("grpc.enable_http_proxy", 0),
    # A channel of ours is closed for good when we close it, and a rotated certificate is used at once.
    ("grpc.use_local_subchannel_pool", 1),
)

CONNECT_S = 2.0
"""How long one attempt to connect may take; less than a call's deadline, so that a call to an address that swallows
packets fails as never sent."""

MOST_PATIENCE = 3
"""Times as long everything may take on a slow way. TCP, TLS and HTTP take three round trips until a call is sent."""

SPARE = 8
"""File descriptors that must be left for a new channel. Where grpc lacks one for its poller it aborts the process."""

TlsStamp = tuple[tuple[int, int, int], ...]


class Stubs:
    """etcd's services over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """The stub classes are generated, without types."""
        make: Callable[[Any], Any]
        for name in ("KV", "Watch", "Lease", "Maintenance", "Auth"):
            make = getattr(pb, f"{name}Stub")
            setattr(self, name.lower(), make(channel))

    kv: Any
    watch: Any
    lease: Any
    maintenance: Any
    auth: Any


@dataclass(slots=True, eq=False)
class Connection:
    """One channel to one endpoint."""

    endpoint: Endpoint
    channel: grpc.aio.Channel
    stubs: Stubs
    stamp: TlsStamp = ()
    calls: int = 0
    retired: bool = False


@dataclass(slots=True)
class Connections:
    """The current connection, and those that still have calls."""

    settings: EtcdSettings
    endpoints: tuple[Endpoint, ...] = field(init=False)
    patience: int = 1
    _current: Connection | None = None
    _index: int = 0
    _open: set[Connection] = field(default_factory=set)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raises `ConfigError` for an endpoint that cannot be used."""
        self.endpoints = parse_endpoints(self.settings)

    @property
    def deadline(self) -> float:
        """Return the seconds that a call may take, given the present latency of the path to etcd."""
        return self.settings.timeout * self.patience

    def unheard(self) -> None:
        """Note that no endpoint answered or refused in time: the path may be slow, so the next attempts get longer."""
        if self.patience < MOST_PATIENCE:
            self.patience += 1
            self._retire()

    def answered_in(self, seconds: float) -> None:
        """A call was answered; a quick answer ends the patience."""
        if seconds < self.settings.timeout / 10:
            self.patience = 1

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint in use, or to be used next."""
        return self.endpoints[self._index]

    def change(self, settings: EtcdSettings) -> bool:
        """Take other settings; whether the connection in use was given up for them. Raises `ConfigError`, and nothing
        has changed then."""
        endpoints, before = parse_endpoints(settings), self.endpoint
        moved = before not in endpoints or settings.tls_files != self.settings.tls_files
        self.settings, self.endpoints = settings, endpoints
        self._index = 0 if moved else endpoints.index(before)
        if moved:
            self._retire()
        return moved

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """The current connection for the length of one call or stream."""
        connection = self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)

    def acquire(self) -> Connection:
        """The current connection, opened if need be; to be given back by `release`."""
        stamp = tls_stamp(self.settings) if self.endpoint.tls else ()
        if self._current is not None and self._current.stamp != stamp:
            self._retire()
        if self._current is None:
            self._current = self._connect(stamp)
        self._current.calls += 1
        return self._current

    def release(self, connection: Connection) -> None:
        """Give back a connection; a retired one is closed with its last call."""
        connection.calls -= 1
        self._close_if_done(connection)

    def failed(self, connection: Connection) -> None:
        """Go on to the next endpoint, unless another caller did already.

        A lone endpoint keeps its channel: grpc reconnects by itself.
        """
        if connection is self._current and len(self.endpoints) > 1:
            self._retire()
            self._index = (self._index + 1) % len(self.endpoints)

    def leave(self, endpoint: Endpoint) -> None:
        """Go on to the next endpoint, as this one's answers are invalid; unless another caller did already."""
        if self._current is not None and self._current.endpoint == endpoint:
            self.failed(self._current)

    def renew(self) -> None:
        """Let the next call open a connection of its own; the present one is closed with its last call."""
        self._retire()

    async def close(self) -> None:
        """Close all channels; calls in flight are cancelled."""
        self._current = None
        for connection in tuple(self._open):
            await connection.channel.close()
        self._open.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def _connect(self, stamp: TlsStamp) -> Connection:
        channel = open_channel(self.endpoint, self.settings, patience=self.patience)
        connection = Connection(self.endpoint, channel, Stubs(channel), stamp)
        self._open.add(connection)
        return connection

    def _retire(self) -> None:
        if self._current is not None:
            self._current.retired = True
            self._close_if_done(self._current)
        self._current = None

    def _close_if_done(self, connection: Connection) -> None:
        if connection.retired and not connection.calls and connection in self._open:
            self._open.discard(connection)
            task = asyncio.create_task(connection.channel.close(), name="etcd-channel-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def open_channel(endpoint: Endpoint, settings: EtcdSettings, *, patience: int = 1) -> grpc.aio.Channel:
    """A channel to one endpoint. Raises `StoreError` if a TLS file cannot be read, `StoreUnavailable` if too few file
    descriptors are left."""
    _make_sure_of_descriptors(endpoint)
    # Despite its name this bounds one attempt to connect.
    options = (*_OPTIONS, ("grpc.min_reconnect_backoff_ms", int(1000 * CONNECT_S * patience)))
    if not endpoint.tls:
        return grpc.aio.insecure_channel(endpoint.target, options=options)
    return grpc.aio.secure_channel(endpoint.target, tls_credentials(settings), options=options)


def _make_sure_of_descriptors(endpoint: Endpoint) -> None:
    found: list[int] = []
    try:
        while len(found) < SPARE:
            found.append(os.eventfd(0))
    except OSError as error:
        raise StoreUnavailable(
            f"cannot connect to etcd at {endpoint}, for no file descriptor is left ({error.strerror}):"
            " raise LimitNOFILE of flanpyd's unit"
        ) from error
    finally:
        for descriptor in found:
            os.close(descriptor)


def tls_credentials(settings: EtcdSettings) -> grpc.ChannelCredentials:
    """Without a CA file grpc's own roots apply; without a pair we stay anonymous. Raises `StoreError` for a file that
    cannot be used."""
    tls_files.check(settings.ca_file, settings.cert_file, settings.key_file)
    ca, cert, key = (
        None if path is None else _read(path)
        for path in (settings.ca_file, settings.cert_file, settings.key_file)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def tls_stamp(settings: EtcdSettings) -> TlsStamp:
    """Changes when a TLS file is replaced or rewritten; a missing file has a stamp too."""
    return tuple(_stamp(path) for path in settings.tls_files)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read TLS file {str(path)!r} for etcd: {error.strerror}") from error
