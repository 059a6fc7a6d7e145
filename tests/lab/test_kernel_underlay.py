"""The underlay changes on a running host: its link, its addresses, its MTU. The daemon follows without a restart."""

from __future__ import annotations

import json

import pytest

from integration.lab import ETCD_PREFIX, Host, Lab, Probe, Stream, unreached
from tests.lab.overlay import (
    assert_settled,
    assert_told,
    eventually,
    foreign_state,
    leases,
    metric_sum,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _index(host: Host, link: str = "flannel.1") -> int:
    return int(host.ip_json("link", "show", "dev", link)[0]["ifindex"])


def test_p11_flannel_failure_16_host_comes_back_after_its_nic_is_replaced(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before, nic, pid = standing(lab, two), _index(two, "eth0"), two.daemon.pid

    with Probe(one.containers[0], two.containers[0]) as probe:
        probe.wait_flowing()
        lab.faults.replug(two)
        assert _index(two, "eth0") != nic
        eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two))
        probe.wait_flowing(deadline=5)

    assert_settled(lab)
    assert two.daemon.pid == pid
    assert unreached(lab.containers) == ()


def test_p11_flannel_failure_16_nic_gone_for_a_while_is_said_and_waited_for(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)

    with lab.faults.remove_nic(host):
        eventually(lambda: not host.daemon.is_ready(), "not ready without the underlay")
        assert host.daemon.answers("/healthz")

    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=10)
    assert_settled(lab, deadline=15)
    assert unreached(lab.containers) == ()


def test_p11_nic_taken_down_and_up_gets_its_routes_back(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before, index = standing(lab, two), _index(two)

    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        with lab.faults.link_down(two):
            eventually(lambda: not two.daemon.is_ready(), "not ready without the underlay")
        eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two))
        stream.wait_flowing(deadline=20)
        report = stream.stop()

    assert report.whole
    assert _index(two) == index
    assert_settled(lab, deadline=15)


def test_p11_renamed_nic_is_followed_when_it_was_chosen_by_address(lab: Lab) -> None:
    host = lab.hosts[1]
    host.daemon.kill()
    host.daemon.nic = host.address
    try:
        host.daemon.up()
        assert_settled(lab)
        index = _index(host)

        # the kernel renames a link that is up only since 6.x: down for a moment, as an installer would do it
        host.ip(*_rename(host, "eth0", "wan0"))
        assert_settled(lab, deadline=10)
        assert _index(host) == index
        assert unreached(lab.containers) == ()
    finally:
        if host.has_link("wan0"):
            host.ip(*_rename(host, "wan0", "eth0"))
        host.daemon.kill()
        host.daemon.nic = "eth0"
        host.daemon.up()


def _rename(host: Host, old: str, new: str) -> list[str]:
    gateway = next(r["gateway"] for r in host.ip_json("route", "show", "default"))
    return [
        f"link set {old} down",
        f"link set {old} name {new}",
        f"link set {new} up",
        f"route replace default via {gateway} dev {new}",
    ]


def test_p11_renamed_nic_that_was_chosen_by_name_is_waited_for(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    host.ip(*_rename(host, "eth0", "wan0"))
    try:
        eventually(lambda: not host.daemon.is_ready(), "not ready without eth0")
        # nobody said that the tunnel should go: traffic goes on by the renamed link
        assert lab.hosts[0].containers[0].ping(host.containers[0]).ok
    finally:
        host.ip(*_rename(host, "wan0", "eth0"))
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert_settled(lab, deadline=15)


def test_p27_flannel_failure_10_changed_address_is_followed_by_all_hosts(lab: Lab) -> None:
    one, two, _ = lab.hosts
    old, pid, index = leases(lab)["h2"], two.daemon.pid, _index(two)

    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        with lab.faults.set_address(two, "10.99.7.77"):
            assert_told(lab, two)
            assert_settled(lab, deadline=10)
            new = leases(lab)["h2"]
            assert (new.subnet, new.mac, new.public_ip) == (old.subnet, old.mac, "10.99.7.77")
            assert f"fdb flannel.1 {new.mac} dst 10.99.7.77" in standing(lab, one)
            stream.wait_flowing(deadline=20)
            assert unreached(lab.containers) == ()
        assert_told(lab, two)
        assert_settled(lab, deadline=10)
        stream.wait_flowing(deadline=20)
        report = stream.stop()

    assert report.whole
    assert (two.daemon.pid, _index(two)) == (pid, index)
    assert leases(lab)["h2"] == old


def test_p27_further_address_on_the_nic_changes_nothing(lab: Lab) -> None:
    host = lab.hosts[1]
    before, entries = standing(lab, host), lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")
    listings = metric_sum(host, "flanpy_store_listings_total")
    host.ip("addr add 10.99.8.8/16 dev eth0")
    try:
        assert_settled(lab)
        assert standing(lab, host) == before
        assert lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") == entries
    finally:
        host.ip("addr del 10.99.8.8/16 dev eth0")
    assert_settled(lab)
    assert metric_sum(host, "flanpy_store_listings_total") == listings, "etcd is not asked for it"


def test_p27_address_gone_for_a_while_is_waited_for(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    gateway = next(r["gateway"] for r in host.ip_json("route", "show", "default"))
    host.ip("addr flush dev eth0")
    eventually(lambda: not host.daemon.is_ready(), "not ready without an underlay address")
    host.ip(f"addr add {host.address}/16 dev eth0", f"route replace default via {gateway} dev eth0")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert_settled(lab, deadline=15)


@pytest.mark.parametrize("mtu", [1400, 9000])
def test_flannel_failure_10_changed_underlay_mtu_is_followed(lab: Lab, mtu: int) -> None:
    host = lab.hosts[1]
    index, decoys = _index(host), foreign_state(host)
    with lab.faults.set_mtu(host, mtu):
        assert_settled(lab)
        assert host.ip_json("link", "show", "dev", "flannel.1")[0]["mtu"] == mtu - 50
        eventually(lambda: host.subnet_file.mtu == mtu - 50, lambda: host.subnet_file)
        assert _index(host) == index
    assert_settled(lab)
    eventually(lambda: host.subnet_file.mtu == 1450, lambda: host.subnet_file)
    assert foreign_state(host) == decoys


def test_subnet_file_lost_or_altered_comes_back_by_itself(lab: Lab) -> None:
    host = lab.hosts[1]
    before = host.daemon.subnet_path.read_text()
    for spoil in (
        host.daemon.subnet_path.unlink,
        lambda: host.daemon.subnet_path.write_text("FLANNEL_MTU=1\n"),
    ):
        spoil()
        eventually(
            lambda: host.daemon.subnet_path.exists() and host.daemon.subnet_path.read_text() == before,
            "subnet.env is whole again",
        )


def test_p27_public_ip_setting_is_advertised_and_never_used_as_local(lab: Lab) -> None:
    one, two, _ = lab.hosts
    two.daemon.kill()
    two.daemon.up("--public-ip=10.99.1.222")
    try:
        eventually(lambda: leases(lab)["h2"].public_ip == "10.99.1.222", lambda: json.dumps(str(leases(lab))))
        data = two.ip_json("-d", "link", "show", "dev", "flannel.1")[0]["linkinfo"]["info_data"]
        assert data["local"] == two.address
        assert_settled(lab, [one])
    finally:
        two.daemon.restart()
    assert_told(lab, two)
    assert_settled(lab)
