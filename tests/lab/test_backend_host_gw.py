"""host-gw on whole hosts: plain routes, no device, and the truth about peers that are not on the same L2 segment."""

from __future__ import annotations

import json

import pytest

from integration.lab import ETCD_PREFIX, Lab, Stream, flanpyctl, unreached
from tests.lab.backend_side import condition, rows, status
from tests.lab.conftest import BuildLab
from tests.lab.overlay import (
    add_decoys,
    assert_settled,
    assert_told,
    eventually,
    foreign_state,
    leases,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _host_gw(lab: Lab) -> None:
    lab.configure(backend="host-gw")
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab)


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_p19_host_gw_routes_through_the_peers_at_the_underlays_mtu(build_lab: BuildLab, mtu: int) -> None:
    lab = build_lab(3, mtu=mtu)
    add_decoys(lab.hosts[0])
    decoys = foreign_state(lab.hosts[0])
    _host_gw(lab)

    assert unreached(lab.containers) == ()
    one, two, _ = lab.containers
    assert one.ping(two, size=mtu - 28).ok
    assert [host.subnet_file.mtu for host in lab.hosts] == [mtu] * 3
    assert not any(line.startswith("link") for host in lab.hosts for line in standing(lab, host))
    entry = next(e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if '"h1"' in e.value)
    value = json.loads(entry.value)
    assert (value["BackendType"], "BackendData" in value) == ("host-gw", False)

    lab.hosts[0].daemon.stop()
    lab.hosts[0].run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={lab.hosts[0].daemon.subnet_path}")
    assert standing(lab, lab.hosts[0]) == set()
    if mtu == 1500:
        eventually(lambda: "docker0" in foreign_state(lab.hosts[0]), "the bridge is the lab's, and stays")
        assert decoys  # what was there before is looked at by test_kernel_takeover


def test_p18_peers_behind_a_router_are_named_with_the_gateway_and_the_cure(build_lab: BuildLab) -> None:
    lab = build_lab(3, segments=2)
    _host_gw(lab)
    one, two, three = lab.hosts

    eventually(
        lambda: (
            [condition(host, "PeersProgrammed")["message"].split(" peers")[0] for host in lab.hosts]
            == ["1 of 2", "1 of 2", "2 of 2"]
        ),
        lambda: [condition(host, "PeersProgrammed") for host in lab.hosts],
        deadline=10,
    )
    said = condition(one, "PeersProgrammed")
    assert (said["healthy"], said["reason"]) == (False, "NoWay")
    assert (
        f"1 of 2 peers cannot be reached: h3: {three.address} is behind gateway 10.99.0.1" in said["message"]
    )
    assert "DirectRouting" in said["cure"]
    assert one.daemon.is_ready()  # its containers do reach the others
    assert {name: (row["state"], row["way"]) for name, row in rows(one).items()} == {
        "h1": ("own", ""),
        "h2": ("programmed", "direct"),
        "h3": ("failed", "none"),
    }
    assert rows(one)["h3"]["reason"] == f"{three.address} is behind gateway 10.99.0.1 on eth0"
    assert status(one)["peers"] == {"wanted": 2, "programmed": 1, "pending": 0, "failed": 1, "rejected": 0}
    alone = condition(three, "PeersProgrammed")["message"]
    assert alone.startswith("2 of 2 peers cannot be reached")

    # the cure
    lab.configure({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": True}})
    assert_settled(lab, deadline=20)
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=10)
    ways = {"h1": "", "h2": "direct", "h3": "tunnel"}
    eventually(lambda: {name: row["way"] for name, row in rows(one).items()} == ways, lambda: rows(one))
    assert rows(one)["h3"]["way_reason"] == f"{three.address} is behind gateway 10.99.0.1 on eth0"
    assert "(1 direct, 1 tunnel)" in one.run(*flanpyctl(), "status").stdout
    assert two.daemon.is_ready()


def test_flannel_failure_10_replaced_altered_or_deleted_route_is_put_right(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _host_gw(lab)
    one, two = lab.hosts
    before, subnet = standing(lab, one), leases(lab)["h2"].subnet
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        for line in (
            f"route replace {subnet} via 10.99.9.9 dev eth0",
            f"route change {subnet} via 10.99.9.9 dev eth0",
            f"route replace {subnet} via 10.99.9.9 dev eth0 proto 70",
            f"route replace {subnet} dev eth0",
            f"route del {subnet}",
        ):
            one.ip(line)
            eventually(lambda: standing(lab, one) == before, lambda: wrongs(lab, one))
        eventually(
            lambda: condition(one, "ForeignConflict")["healthy"], lambda: condition(one, "ForeignConflict")
        )
        stream.wait_flowing()
        assert stream.stop().whole


def test_foreign_route_with_an_owner_is_kept_and_named_with_host_gw_too(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _host_gw(lab)
    one = lab.hosts[0]
    subnet = leases(lab)["h2"].subnet
    one.ip(f"route replace {subnet} via 10.99.9.9 dev eth0 proto static")
    eventually(lambda: not condition(one, "ForeignConflict")["healthy"], "the conflict is named")
    assert one.routes()[subnet]["gateway"] == "10.99.9.9"
    one.ip(f"route del {subnet}")
    assert_settled(lab)


def test_host_gw_follows_the_underlays_mtu_address_and_link(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _host_gw(lab)
    one, two = lab.hosts
    with lab.faults.set_mtu(one, 1400):
        eventually(lambda: one.subnet_file.mtu == 1400, "subnet.env follows")
    with lab.faults.set_address(two, "10.99.7.7"):
        assert_told(lab, two)
        assert_settled(lab, deadline=15)
        assert f"route {leases(lab)['h2'].subnet} via 10.99.7.7" in str(standing(lab, one))
        eventually(lambda: unreached(lab.containers) == (), "containers reach each other", deadline=10)
    assert_told(lab, two)
    assert_settled(lab, deadline=15)
    with lab.faults.link_down(one):
        eventually(lambda: not one.daemon.is_ready(), "not ready without the underlay")
    assert_settled(lab, deadline=15)
    assert unreached(lab.containers) == ()


def test_p17_restart_of_a_host_gw_host_changes_nothing_under_a_stream(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _host_gw(lab)
    one, two = lab.hosts
    before = standing(lab, one)
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        one.daemon.kill()
        assert standing(lab, one) == before
        lab.etcd.api.put(  # the peer goes while nobody looks
            f"{ETCD_PREFIX}/subnets/10.50.240.0-24",
            json.dumps({"PublicIP": "10.99.3.3", "PublicIPv6": None, "BackendType": "host-gw"}),
            lease=lab.etcd.api.grant(600),
        )
        one.daemon.up()
        assert_settled(lab)
        assert stream.stop().whole
    assert standing(lab, one) > before


def test_p17_host_is_taken_over_from_flannels_host_gw_in_place_under_a_stream(build_lab: BuildLab) -> None:
    """flannel's routes are plain and anonymous (proto boot): they are adopted in place, and go with the lease."""
    lab = build_lab(2)
    lab.configure(backend="host-gw")
    one, two = lab.hosts
    for number, host in ((21, one), (22, two)):
        value = {"PublicIP": host.address, "PublicIPv6": None, "BackendType": "host-gw"}
        lab.etcd.api.put(
            f"{ETCD_PREFIX}/subnets/10.50.{number}.0-24", json.dumps(value), lease=lab.etcd.api.grant(86_400)
        )
        host.daemon.subnet_path.write_text(
            "FLANNEL_NETWORK=10.50.0.0/16\n"
            f"FLANNEL_SUBNET=10.50.{number}.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n"
        )
    one.ip(f"route add 10.50.22.0/24 via {two.address} dev eth0")
    two.ip(f"route add 10.50.21.0/24 via {one.address} dev eth0")
    lab.attach_containers()
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        for host in lab.hosts:
            host.daemon.up()
            assert unreached(lab.containers) == ()
        assert_settled(lab)
        assert stream.stop().whole
    kept = {"h1": "10.50.21.0/24", "h2": "10.50.22.0/24"}
    eventually(lambda: {name: peer.subnet for name, peer in leases(lab).items()} == kept, lambda: leases(lab))
    two.daemon.stop()
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/10.50.22.0-24")
    eventually(lambda: "10.50.22.0/24" not in one.routes(), one.routes)


def test_p22_ipv6_routes_stand_and_are_put_right_as_ipv4_ones(build_lab: BuildLab) -> None:
    lab = build_lab(2, ipv6=True)
    lab.configure(
        {
            "Network": "10.50.0.0/16",
            "EnableIPv6": True,
            "IPv6Network": "fd50::/48",
            "Backend": {"Type": "host-gw"},
        }
    )
    lab.start_daemons()
    assert_settled(lab, deadline=30)
    one = lab.hosts[0]
    before, peer = standing(lab, one), leases(lab, version=6)["h2"]
    for line in (
        f"-6 route replace {peer.subnet} via fd99:1::9:9 dev eth0",
        f"-6 route replace {peer.subnet} via fd99:1::9:9 dev eth0 proto 70",
        f"-6 route del {peer.subnet}",
    ):
        one.run("ip", *line.split())
        eventually(lambda: standing(lab, one) == before, lambda: wrongs(lab, one))
    eventually(
        lambda: condition(one, "ForeignConflict")["healthy"], lambda: condition(one, "ForeignConflict")
    )
