"""The settings of a session with etcd, out of the host's."""

from __future__ import annotations

from flanpy.config.settings import EtcdOptions
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
