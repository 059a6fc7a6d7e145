"""A cluster moves from the embedded store to three etcds and back, and its containers never notice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.etcd.cluster import Etcd
from integration.etcd.loopback import HERE, LoopbackMember
from integration.hosts.embedded import CLIENT, StoreLab
from integration.lab import wait_until
from integration.net.namespaces import run_in
from tests.house import ROOT
from tests.lab.etcd_side import on_each, own_keys, ring, stale, undisturbed
from tests.lab.overlay import assert_settled

pytestmark = pytest.mark.lab


class Beside(LoopbackMember):
    """An etcd on the store's host, with ports of its own."""

    def __init__(self, name: str, lab: StoreLab, number: int) -> None:
        first = 4000 + 10 * number
        super().__init__(name, lab.directory, ports=(first, first + 1, first + 2), scheme="http")
        self.namespace, self.address = lab.store.namespace, lab.store.address
        self.flags = ("--heartbeat-interval=50", "--election-timeout=500")

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://{HERE}:{self.peer_port}"


@contextmanager
def three_etcds(lab: StoreLab) -> Iterator[Etcd]:
    """Start three members that form one etcd."""
    etcd = Etcd([Beside(f"e{number}", lab, number) for number in range(3)])
    try:
        for member in etcd.members:
            member.launch()
        wait_until(lambda: all(member.healthy() for member in etcd.members), "the etcd serves", deadline=60)
        yield etcd
    finally:
        for member in etcd.members:
            member.kill()


def move(lab: StoreLab, from_: str, to: str) -> str:
    """Move the cluster's keys."""
    pki = lab.authority.certificate.parent
    files = [lab.authority.certificate, pki / f"{CLIENT}.crt", pki / f"{CLIENT}.key"]
    words = [sys.executable, "-m", "tests.lab.moving", *map(str, files), from_, to]
    return run_in(lab.store.namespace, words, env={"PYTHONPATH": str(ROOT)}).stdout


def place_of(lab: StoreLab, number: int) -> str:
    """Return what a host remembers of the store's place."""
    path = Path(lab.hosts[number].daemon.state_dir, "store-place.json")
    return path.read_text() if path.exists() else ""


def test_cluster_moves_to_three_etcds_and_back_without_a_lost_datagram() -> None:
    with StoreLab(3) as lab:
        lab.configure()
        lab.start_daemons("--etcd-follow", deadline=60)
        lab.attach_containers()
        assert_settled(lab)
        here = lab.store.endpoint
        move(lab, here, here)  # writes where the store is, as `cluster init` does
        leases = own_keys(lab)
        with three_etcds(lab) as etcd, undisturbed(*ring(lab)):
            assert "number 2, etcd" in move(lab, here, etcd.endpoints)
            wait_until(
                lambda: all(etcd.members[0].endpoint in place_of(lab, one) for one in range(3)),
                "every host follows",
                deadline=60,
            )
            lab.store.kill()
            etcd.api.delete_prefix(f"/coreos.com/network/subnets/{leases[lab.hosts[0].name]}")
            wait_until(
                lambda: len(etcd.api.list("/coreos.com/network/subnets/")) == 3,
                "its host writes it again",
                deadline=60,
            )
            assert not any(stale(host) for host in lab.hosts)
            lab.etcd.start()
            assert "number 3, embedded" in move(lab, etcd.endpoints, here)
            wait_until(
                lambda: all(here in place_of(lab, one) for one in range(3)), "every host is back", deadline=60
            )
        on_each(lab.hosts, lambda host: not stale(host), "nobody misses the etcd", deadline=30)
        assert own_keys(lab) == leases
        assert_settled(lab)
