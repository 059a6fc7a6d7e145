"""A real etcd for tests: the lab's, on free loopback ports, and how flanpy's own session reaches it.

with EtcdCluster.started() as etcd: ...
with EtcdCluster.started(members=3, tls=True) as etcd: etcd.members[0].kill()
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flanpy.store.session.settings import EtcdSettings
from integration.etcd.embedded import LoopbackStore
from integration.etcd.loopback import LoopbackEtcd, free_ports, make_certificates
from integration.etcd.pki import make_ca, make_certificate, make_jwt_keys

__all__ = [
    "EmbeddedStore", "EtcdCluster", "free_ports", "make_ca", "make_certificate", "make_certificates",
    "make_jwt_keys", "poll",
]  # fmt: skip


def poll(condition: Callable[[], bool], what: str, *, deadline: float = 90.0) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)


class _Reached(LoopbackEtcd):
    def settings(
        self, *, timeout: float = 15.0, username: str | None = None, password: str | None = None
    ) -> EtcdSettings:
        """Return the settings of a client with all rights."""
        return EtcdSettings(
            self.urls,
            ca_file=self.ca if self.tls else None,
            cert_file=self.directory / "client.crt" if self.client_certs else None,
            key_file=self.directory / "client.key" if self.client_certs else None,
            username=self.username if username is None else username,
            password=self.password if password is None else password,
            timeout=timeout,
        )


class EtcdCluster(_Reached):
    """The members, and how to reach them."""


class EmbeddedStore(LoopbackStore, _Reached):
    """flanpy's own store in their place."""
