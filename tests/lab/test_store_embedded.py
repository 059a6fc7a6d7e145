"""Three hosts that meet at the embedded store: it is killed, comes back, and comes back from an old backup.

Containers never notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.embedded import StoreLab
from integration.lab import flanpyctl, wait_until
from integration.net.namespaces import run
from tests.lab.etcd_side import assert_followed, on_each, own_keys, ring, stale, undisturbed
from tests.lab.overlay import assert_settled, standing

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[StoreLab]:
    with StoreLab(3) as lab:
        lab.configure()
        lab.start_daemons(deadline=60)
        lab.attach_containers()
        assert_settled(lab)
        yield lab


def test_store_killed_and_back_costs_no_datagram_and_is_followed_again(lab: StoreLab) -> None:
    one, two, _ = lab.containers
    assert one.ping(two).ok
    before = {host.name: standing(lab, host) for host in lab.hosts}
    with undisturbed(*ring(lab)):
        lab.store.kill()
        on_each(lab.hosts, stale, "the outage is known", deadline=25)
        assert all(host.daemon.is_ready() for host in lab.hosts)
        lab.etcd.start()
        on_each(lab.hosts, lambda host: not stale(host), "the outage is over", deadline=25)
        assert_followed(lab)
    assert {host.name: standing(lab, host) for host in lab.hosts} == before


def test_store_restored_from_an_old_backup_gets_every_lease_again(lab: StoreLab, tmp_path: Path) -> None:
    file = tmp_path / "early.db"
    lab.etcd.snapshot(file)
    # What came after the backup is lost with it: the lease of a host that leases again meanwhile.
    last = lab.hosts[-1]
    lab.etcd.api.delete_prefix(f"/coreos.com/network/subnets/{own_keys(lab)[last.name]}")
    wait_until(lambda: last.name in own_keys(lab), "the lease is there again", deadline=30)
    with undisturbed(*ring(lab)):
        lab.store.kill()
        run([*flanpyctl(), "store", "restore", "--data-dir", str(lab.store.storage), str(file)])
        lab.etcd.start()
        on_each(lab.hosts, lambda host: not stale(host), "the outage is over", deadline=25)
        wait_until(lambda: len(own_keys(lab)) == 3, "every host has its lease", deadline=30)
        assert_followed(lab)
    assert_settled(lab)


def test_new_host_joins_by_the_restarted_store(lab: StoreLab) -> None:
    last = lab.hosts[-1]
    last.daemon.kill()
    lab.etcd.restart()
    last.daemon.up(deadline=60)
    assert_settled(lab)
