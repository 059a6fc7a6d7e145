"""A session with etcd for the length of one command.

Owns the one event loop of a command. grpc is imported here, on use: a quarter of a
second that commands which the daemon answers do not pay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flanpy import log
from flanpy.config.etcd import store_settings
from flanpy.config.settings import Settings
from flanpy.errors import ConfigError
from flanpy.store.session.etcd import EtcdSession

T = TypeVar("T")


def with_etcd(settings: Settings, work: Callable[[EtcdSession], Awaitable[T]]) -> T:
    """Run `work` with a session, then close it. Raises the session's `StoreError`s, ConfigError where a list of
    hosts stands in for etcd."""
    if settings.leases.place:
        raise ConfigError(
            f"the leases of this host come from {settings.leases.place}, not from etcd: change them there"
        )
    log.configure("console", "error")  # outages are told once, by the error that ends the command

    async def run() -> T:
        async with EtcdSession(store_settings(settings)) as session:
            return await work(session)

    return asyncio.run(run())
