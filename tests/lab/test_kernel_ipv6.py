"""IPv6 is no second class: dual-stack and IPv6-only overlays over an IPv6 underlay, with the same faults."""

from __future__ import annotations

from typing import Any

import pytest

from integration.lab import Host, Lab
from integration.net.namespaces import ip_batch, run_in, sysctl
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually, leases, link_sysctl, standing, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

V6 = {"EnableIPv6": True, "IPv6Network": "fd50:1::/48", "Backend": {"Type": "vxlan"}}
CONFIGS: dict[str, dict[str, Any]] = {
    "dual-stack": {"Network": "10.50.0.0/16", **V6},
    "v6-only": {"EnableIPv4": False, **V6},
}


def _container6(lab: Lab, host: Host) -> tuple[str, str]:
    """A namespace on a bridge of the host with an address of its IPv6 subnet: (namespace, address)."""
    base = leases(lab, version=6)[host.name].vtep
    namespace = f"{host.namespace}c9"  # counts as a container's: the lab removes it
    ip_batch(None, [
        f"netns add {namespace}",
        f"link add eth0 netns {namespace} mtu 1430 type veth peer name veth9 mtu 1430 netns {host.namespace}",
    ])  # fmt: skip
    host.ip(
        "link add docker6 type bridge forward_delay 0",
        f"address add {base}1/64 dev docker6 nodad",
        "link set veth9 master docker6 up",
        "link set docker6 up",
    )
    ip_batch(namespace, [
        "link set lo up",
        f"address add {base}2/64 dev eth0 nodad",
        "link set eth0 up",
        f"route add default via {base}1",
    ])  # fmt: skip
    return namespace, f"{base}2"


def _pings(source: tuple[str, str], target: tuple[str, str]) -> bool:
    done = run_in(source[0], ["ping", "-6", "-n", "-q", "-c1", "-W1", target[1]], check=False)
    return done.returncode == 0


@pytest.mark.parametrize("kind", CONFIGS)
def test_p22_containers_ping_over_ipv6_and_faults_heal(build_lab: BuildLab, kind: str) -> None:
    lab = build_lab(2, ipv6=True)
    lab.configure(CONFIGS[kind])
    lab.start_daemons()
    assert_settled(lab)
    one, two = (_container6(lab, host) for host in lab.hosts)
    host = lab.hosts[1]
    before = standing(lab, host)

    eventually(lambda: _pings(one, two) and _pings(two, one), "containers ping over IPv6")
    eventually(
        lambda: link_sysctl(host, "accept_ra", link="flannel-v6.1", family="ipv6") == "0", "accept_ra is off"
    )
    assert host.ip_json("link", "show", "dev", "flannel-v6.1")[0]["mtu"] == 1430
    for fault in (
        "link del flannel-v6.1",
        "link set flannel-v6.1 down",
        "link set flannel-v6.1 address 02:00:00:00:be:ef",
        "addr flush dev flannel-v6.1",
        "neigh flush dev flannel-v6.1 nud permanent",
    ):
        host.ip(fault)
        eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    host.run("ip", "-6", "route", "flush", "proto", "70")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")
    eventually(
        lambda: sysctl(host.namespace, "net/ipv6/conf/all/forwarding") == "1", "forwarding is on again"
    )
    eventually(lambda: _pings(one, two) and _pings(two, one), "containers ping over IPv6")


def test_p22_p27_ipv6_underlay_address_changed_is_followed(build_lab: BuildLab) -> None:
    lab = build_lab(2, ipv6=True)
    lab.configure(CONFIGS["dual-stack"])
    lab.start_daemons()
    assert_settled(lab)
    one, two = (_container6(lab, host) for host in lab.hosts)
    host = lab.hosts[1]
    old = host.seat.address6

    host.ip("addr add fd99:1::7:77/64 dev eth0 nodad", f"addr del {old}/64 dev eth0")
    eventually(
        lambda: leases(lab, version=6)["h2"].public_ip == "fd99:1::7:77", lambda: str(leases(lab, version=6))
    )
    assert_settled(lab, deadline=10)
    eventually(lambda: _pings(one, two) and _pings(two, one), "containers ping over IPv6")


def test_p22_ipv6_address_lost_with_the_link_down_is_waited_for(build_lab: BuildLab) -> None:
    """Linux drops IPv6 addresses of a link that goes down, and does not bring them back."""
    lab = build_lab(2, ipv6=True)
    lab.configure(CONFIGS["dual-stack"])
    lab.start_daemons()
    assert_settled(lab)
    host = lab.hosts[1]
    before = standing(lab, host)

    with lab.faults.link_down(host):
        eventually(lambda: not host.daemon.is_ready(), "not ready without the underlay")
    host.ip(f"addr replace {host.seat.address6}/64 dev eth0 nodad")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=10)
    assert_settled(lab, deadline=15)
