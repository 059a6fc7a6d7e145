"""Two hosts that run flannel's way, handed over to flanpyd one after the other while their containers talk.

flannel's part is played by what it leaves and keeps: a unit, a lease record, subnet.env, and a VXLAN made by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.systemd.flannel import NETWORK, run_flannel, write_lease
from integration.lab import ETCD_PREFIX
from integration.net.waiting import wait_until
from integration.traffic.pairs import Stream
from tests.ansible.conftest import operated
from tests.ansible.controller import Controller

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd, pytest.mark.timeout(1800)]

LONGEST_GAP_MS = 1000.0


@pytest.fixture(scope="module")
def flannel_hosts(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with operated(2, tmp_path_factory.mktemp("operator")) as controller:
        lab = controller.lab
        lab.etcd.api.put(f"{ETCD_PREFIX}/config", NETWORK)
        for number, host in enumerate(lab.hosts, 1):
            write_lease(lab.etcd.api, number, host)
            run_flannel(number, host)
        controller.write_inventory(
            {"flanpy": lab.hosts},
            {"flanpyd_package": str(deb), "flanpyd_etcd_endpoints": lab.etcd.endpoints.split(",")},
        )
        yield controller


def test_host_whose_lease_is_not_in_the_etcd_given_is_left_with_flannel(flannel_hosts: Controller) -> None:
    refused = flannel_hosts.try_play("migrate_from_flannel", flanpyd_etcd_prefix="/elsewhere/network")
    assert refused.code != 0
    assert "10.50.1.0/24, which has no lease under /elsewhere/network" in refused.text
    assert refused.total("rescued") == 0
    for host in flannel_hosts.lab.hosts:
        assert host.is_active("flanneld.service")
        assert not host.is_active("flanpyd.service")


def test_host_that_is_not_ready_in_time_is_given_back_to_flannel(flannel_hosts: Controller) -> None:
    one, other = flannel_hosts.lab.hosts
    first, second = one.docker.run_container("first"), other.docker.run_container("second")
    # a link that the host does not have: flanpyd waits for it forever
    failed = flannel_hosts.try_play("migrate_from_flannel", flanpyd_iface="eth7", flanpyd_wait=3)
    assert failed.code != 0
    assert "h1: flannel runs again, as h1: " in failed.text
    assert "eth7" in failed.text
    for host in (one, other):
        assert host.is_active("flanneld.service")
        assert not host.is_active("flanpyd.service")
    assert first.ping(second.address).ok


def test_each_host_is_handed_over_on_its_subnet_while_containers_talk(flannel_hosts: Controller) -> None:
    one, other = flannel_hosts.lab.hosts
    for host in (one, other):
        host.docker.remove_containers()
    first, second = one.docker.run_container("first"), other.docker.run_container("second")
    wait_until(lambda: first.ping(second.address).ok, "flannel's way works", deadline=10)
    with Stream(first, second) as stream:
        stream.wait_flowing()
        flannel_hosts.play("migrate_from_flannel")
        stream.mark()
        report = stream.stop()
    assert report.whole
    assert report.longest_gap_ms < LONGEST_GAP_MS, report
    for number, host in enumerate((one, other), 1):
        assert not host.is_active("flanneld.service")
        assert host.unit("flanneld.service", "UnitFileState")["UnitFileState"] == "disabled"
        assert host.unit("flanpyd.service", "UnitFileState")["UnitFileState"] == "enabled"
        own = json.loads(host.run("flanpyctl", "status", "-o", "json").stdout)["own"]
        assert own["subnet"] == f"10.50.{number}.0/24"
    assert flannel_hosts.play("migrate_from_flannel").total("changed") == 0
