"""The listeners, and the tasks that run beside them until a signal or a fault.

Owns grpc's server and its options, and the reading of certificates: renewed files count from the next connection on.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import grpc
import grpc.aio

from flanpy.errors import ConfigError, HostError
from flanpy.log import get_logger
from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access
from flanpy.storeserver.backup import Backups
from flanpy.storeserver.checks import MAX_REQUEST
from flanpy.storeserver.joining import open_doors
from flanpy.storeserver.members import Members
from flanpy.storeserver.rivals import Rivals
from flanpy.storeserver.rpc.auth import Logins
from flanpy.storeserver.rpc.calls import AbsentCalls
from flanpy.storeserver.rpc.kv import Keys
from flanpy.storeserver.rpc.lease import Leases
from flanpy.storeserver.rpc.maintenance import Maintenance
from flanpy.storeserver.rpc.watch import Watches
from flanpy.storeserver.settings import Listen, StoreSettings
from flanpy.storeserver.store import Store
from flanpy.systemd import Notifier, watchdog_interval

log = get_logger()

OVERHEAD: Final = 512 << 10
"""Bytes that a message may have beyond the largest request: etcd's."""
_NEVER_S: Final = 86_400.0
"""Between signs of life that nobody waits for."""
STOP_S: Final = 2.0
"""Seconds that calls under way may take at the end."""
MOST_PENDING: Final = 100_000
"""Calls that wait; each is a few kilobytes."""
OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MAX_REQUEST + OVERHEAD),
    ("grpc.max_send_message_length", -1),
    # Two servers at one port would each have half of the clients.
    ("grpc.so_reuseport", 0),
    # grpc cancels calls beyond a thousand that wait for their turn, as when many hosts come back at once.
    ("grpc.server.max_pending_requests", MOST_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", MOST_PENDING),
    # Clients ask every few seconds whether we are there; we ask them, so that watches of dead hosts end.
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


async def serve(settings: StoreSettings, store: Store, access: Access, notifier: Notifier) -> None:
    """Serve until SIGTERM or SIGINT. Raises what makes it impossible to go on."""
    stopped = _stop_signals()
    rivals = members = None
    if settings.join_listens:
        members = Members(store)
        access.admit(members)
        rivals = Rivals(settings, store)
        await rivals.look()
    async with open_doors(settings, store, members):
        await _serve(settings, store, access, notifier, stopped, rivals)


async def _serve(
    settings: StoreSettings,
    store: Store,
    access: Access,
    notifier: Notifier,
    stopped: asyncio.Event,
    rivals: Rivals | None,
) -> None:
    server = _server(settings, store, access)
    await server.start()
    backups = Backups(store, keep=settings.backups)
    urls = [str(listen) for listen in settings.listens]
    log.info("store_started", address=urls, revision=store.state.revision, path=str(store.path))
    notifier.ready(f"Serving at {', '.join(urls)}")
    tasks = {
        asyncio.create_task(stopped.wait(), name="signals"),
        asyncio.create_task(store.failed(), name="store"),
        asyncio.create_task(store.run(), name="by-itself"),
        asyncio.create_task(backups.run(), name="backups"),
        asyncio.create_task(_show_life(notifier), name="watchdog"),
    }
    if rivals is not None:
        tasks.add(asyncio.create_task(rivals.run(), name="rivals"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        notifier.stopping()
        await server.stop(STOP_S)
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    log.info("store_stopped", revision=store.state.revision)


async def _show_life(notifier: Notifier) -> None:
    """Tell the service manager that the event loop is alive, as often as it wants to hear it."""
    interval = watchdog_interval(os.environ)
    while True:
        notifier.watchdog()
        await asyncio.sleep(interval or _NEVER_S)


def _stop_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _server(settings: StoreSettings, store: Store, access: Access) -> grpc.aio.Server:
    server = grpc.aio.server(options=OPTIONS)
    for name, service in (
        ("KV", Keys),
        ("Watch", Watches),
        ("Lease", Leases),
        ("Maintenance", Maintenance),
        ("Auth", Logins),
    ):
        getattr(pb, f"add_{name}Servicer_to_server")(service(store, access), server)
    server.add_generic_rpc_handlers((AbsentCalls(),))
    for listen in settings.listens:
        _listen(server, listen, settings)
    return server


def _listen(server: grpc.aio.Server, listen: Listen, settings: StoreSettings) -> None:
    try:
        if listen.tls:
            server.add_secure_port(listen.target, _credentials(settings))
        else:
            server.add_insecure_port(listen.target)
    except RuntimeError as error:
        raise HostError(f"cannot serve at {listen}: see what else listens there, and its address") from error


def _credentials(settings: StoreSettings) -> grpc.ServerCredentials:
    current = _Files(settings)
    # The type stubs do not know that None means: as before.
    renewed = cast("Callable[[], grpc.ServerCertificateConfiguration]", current.renewed)
    return grpc.dynamic_ssl_server_credentials(
        current.configuration, renewed, require_client_authentication=True
    )


class _Files:
    """The certificate files as they were read last."""

    def __init__(self, settings: StoreSettings) -> None:
        assert settings.key_file is not None
        assert settings.cert_file is not None
        assert settings.ca_file is not None
        self._paths = (settings.key_file, settings.cert_file, settings.ca_file)
        self._seen = tuple(_read(path) for path in self._paths)
        self.configuration = _configuration(*self._seen)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the files if they changed; called before each handshake, on a thread of grpc's."""
        try:
            now = tuple(_read(path) for path in self._paths)
        except ConfigError as error:  # half replaced: the old ones serve until the new ones are whole
            log.warning("certificate_not_read", error=str(error))
            return None
        if now == self._seen:
            return None
        self._seen = now
        return _configuration(*now)


def _configuration(key: bytes, certificate: bytes, authority: bytes) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read ({error.strerror}): correct it or its rights") from error
