"""The settings of a session with etcd, out of the host's."""

from __future__ import annotations

from dataclasses import replace

from flanpy.cluster.place import AUTHORITY_FILE, Place, remembered
from flanpy.config.settings import EtcdOptions, Settings
from flanpy.store.head import Head
from flanpy.store.session.settings import EtcdSettings


def session_settings(options: EtcdOptions) -> EtcdSettings:
    """Return the part of the options that a session needs; the caller supplies the prefix."""
    return EtcdSettings(
        endpoints=options.endpoints,
        ca_file=options.cafile,
        cert_file=options.certfile,
        key_file=options.keyfile,
        username=options.username,
        password=options.password,
    )


def store_settings(settings: Settings) -> EtcdSettings:
    """Return a session's settings: of a host that follows its cluster's store, for the place where that is now."""
    place = remembered(settings.state_dir) if settings.etcd.follow else None
    return session_settings(settings.etcd) if place is None else at_place(settings, place)


def at_place(settings: Settings, place: Place) -> EtcdSettings:
    """Return a session's settings for a place. An embedded store of before is refused there."""
    found = replace(session_settings(settings.etcd), endpoints=place.endpoints)
    if place.authority:
        found = replace(found, ca_file=settings.state_dir / AUTHORITY_FILE)
    if not place.endpoints[0].startswith("https://"):
        found = replace(found, ca_file=None, cert_file=None, key_file=None)
    expected = Head(place.cluster_id, place.generation, place.member) if place.embedded else None
    return replace(found, expected=expected)
