"""The choice of the store: etcd, or a list of hosts in its place."""

from __future__ import annotations

from collections.abc import Callable, Collection

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.config.etcd import session_settings
from flanpy.daemon.following.session import FollowingSession
from flanpy.host.node_id import advertised_name
from flanpy.model.address import IPAddress
from flanpy.store.listed.session import ListedSession, ThisHost
from flanpy.store.listed.source import list_source
from flanpy.store.session.etcd import EtcdSession


def store_of(
    settings: Settings, node_id: str, *, clock: Clock, addresses: Callable[[], Collection[IPAddress]]
) -> EtcdSession | ListedSession:
    """Return the store that the settings name. Raises ConfigError for one that cannot be used."""
    place = settings.leases.place
    if not place:
        if settings.etcd.follow:
            return FollowingSession(settings, clock=clock)
        return EtcdSession(session_settings(settings.etcd), clock=clock)
    return ListedSession(
        list_source(place, settings.leases.cafile),
        settings.etcd.prefix,
        ThisHost(node_id, advertised_name(settings.host_name, node_id=None)),
        clock=clock,
        addresses=addresses,
    )


def use(session: EtcdSession | ListedSession, settings: Settings) -> None:
    """Have the session use other settings from now on. Raises ConfigError, and all stays as it was."""
    if isinstance(session, FollowingSession):
        session.follow_settings(settings)
    elif isinstance(session, EtcdSession):
        session.use(session_settings(settings.etcd))
