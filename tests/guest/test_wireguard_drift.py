"""Keys, ports and peers that somebody changed by hand, of which the kernel sends no news; and an etcd that is away."""

from __future__ import annotations

from typing import Any

import pytest

from integration.lab import Host, Stream
from integration.net.namespaces import in_namespace
from integration.truth import wireguard
from tests.guest.cluster import encrypted_hosts
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

STRANGER = "hPGDGJ+3WeNBhZnEbLQhVg8sTYVEnZi8bGGLW6CN5zA="


def _set(host: Host, **change: Any) -> None:
    """Change the device as `wg set flannel-wg` does."""

    def work() -> None:
        from pyroute2 import WireGuard  # noqa: PLC0415, inside the namespace

        with WireGuard() as kernel:
            kernel.set("flannel-wg", **change)

    in_namespace(host.namespace, work)


def _peer(host: Host) -> str:
    (key,) = wireguard.peers(wireguard.dump(host.namespace, "flannel-wg"))
    return key


def _harms(host: Host) -> dict[str, dict[str, Any]]:
    peer = _peer(host)
    return {
        "peer removed": {"peer": {"public_key": peer, "remove": True}},
        "port changed": {"listen_port": 51999},
        "key changed": {"private_key": STRANGER},
        "stranger added": {"peer": {"public_key": STRANGER, "allowed_ips": ["10.50.200.0/24"]}},
        "addresses moved": {"peer": {"public_key": STRANGER, "allowed_ips": ["10.50.0.0/16"]}},
    }


def test_harms_to_keys_ports_and_peers_are_read_back_and_repaired(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 2)
    one, two = lab.containers
    host = lab.hosts[0]
    for name, change in _harms(host).items():
        _set(host, **change)  # raises unless the kernel took it
        assert_settled(lab, deadline=30)
        eventually(lambda: one.ping(two).ok, name, deadline=30)


def test_etcd_that_is_away_disturbs_nothing(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 2)
    with Stream(*lab.containers) as stream:
        stream.wait_flowing()
        lab.etcd.kill()
        lab.hosts[0].daemon.kill()
        lab.hosts[0].daemon.launch()
        eventually(
            lambda: condition(lab.hosts[0], "BackendReady")["status"] == "True", "it passes", deadline=30
        )
        lab.etcd.start()
        assert_settled(lab, deadline=60)
        assert stream.stop().whole
