"""Obstacles in a host's own network: named by condition, doctor and trace, with the cure."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl, unreached
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, condition, eventually, leases

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DEADLINE_S = 60.0


def _findings(host: Host) -> list[dict[str, Any]]:
    said = host.run(*flanpyctl(), "doctor", "-o", "json", check=False).stdout
    found: list[dict[str, Any]] = json.loads(said)["findings"]
    return found


def _first(host: Host) -> tuple[str, str]:
    """Return the problem that is named first, and its condition."""
    first = _findings(host)[0]
    return first["id"], first["condition"]


def _said(host: Host, kind: str, reason: str) -> dict[str, Any]:
    """Wait for a condition with this reason."""
    eventually(
        lambda: condition(host, kind)["reason"] == reason,
        lambda: str(condition(host, kind)),
        deadline=DEADLINE_S,
    )
    return condition(host, kind)


def _is_healthy(host: Host, kind: str) -> bool:
    return bool(condition(host, kind)["healthy"])


def _container(host: Host) -> str:
    return str(host.subnet_file.subnet.network[2])


def test_routing_rule_before_main_is_named_with_its_table_by_condition_doctor_and_trace(lab: Lab) -> None:
    host, peer = lab.hosts[1], lab.hosts[0]
    rule = "5270: from all lookup 52"
    host.ip("link add tun9 type veth peer name tun9far", "link set tun9far up", "link set tun9 up")
    try:
        host.ip("route add 10.50.0.0/16 dev tun9 table 52", "rule add pref 5270 lookup 52")
        said = _said(host, "ForeignConflict", "PolicyRouting")
        assert f"rule {rule}: 10.50.0.0/16 dev tun9" in said["message"]
        assert said["cure"].startswith("run: ip rule add pref 5269 to 10.50.0.0/16 lookup main")

        traced = host.run(*flanpyctl(), "trace", _container(peer), check=False)
        assert f"as routing rule '{rule}' goes before the main table" in traced.stdout
        eventually(
            lambda: not condition(host, "PeersReachable")["healthy"],
            lambda: str(condition(host, "PeersReachable")),
            deadline=DEADLINE_S,
        )
        lost = condition(host, "PeersReachable")
        assert "PortBlocked" not in str(lost)
        assert rule in str(lost["evidence"])
        first = ("P32", "ForeignConflict")
        eventually(lambda: _first(host) == first, lambda: _findings(host)[:3], deadline=DEADLINE_S)

        host.ip("rule add pref 5269 to 10.50.0.0/16 lookup main")  # the cure, as it stands there
        eventually(
            lambda: condition(host, "ForeignConflict")["healthy"],
            lambda: str(condition(host, "ForeignConflict")),
        )
        assert unreached(lab.containers) == ()
    finally:
        for line in ("rule del pref 5269", "rule del pref 5270", "link del tun9"):
            host.run("ip", *line.split(), check=False)
    eventually(host.daemon.is_ready, lambda: host.daemon.fetch("/readyz"))
    assert unreached(lab.containers) == ()


def test_mtu_below_ipv6s_least_leaves_ipv4_working_and_names_what_ipv6_needs(build_lab: BuildLab) -> None:
    lab = build_lab(2, ipv6=True)
    lab.configure(
        {
            "Network": "10.50.0.0/16",
            "EnableIPv6": True,
            "IPv6Network": "fd50:1::/48",
            "Backend": {"Type": "vxlan"},
        }
    )
    for each in lab.hosts:
        each.ip(f"link set {each.daemon.nic} mtu 1280")
    lab.start_daemons()
    host = lab.hosts[0]
    said = _said(host, "MTUConsistent", "TooNarrow")
    assert (
        f"packets on {host.daemon.nic} have 1280 bytes; behind a header of 70 that leaves 1210"
        in said["message"]
    )
    assert "an MTU of at least 1350" in said["cure"]
    assert host.daemon.is_ready()
    assert (host.subnet_file.mtu, "IPV6" in host.daemon.subnet_path.read_text()) == (1230, False)
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), "the hosts know each other", deadline=DEADLINE_S)
    assert [one["id"] for one in _findings(host) if one["condition"] == "MTUConsistent"] == ["P22"]
    base = leases(lab, version=6)[lab.hosts[1].name].vtep
    traced = host.run(*flanpyctl(), "trace", f"{base}2", check=False)
    assert said["message"] in traced.stdout

    for each in lab.hosts:
        each.ip(f"link set {each.daemon.nic} mtu 1350")
    for each in lab.hosts:
        eventually(partial(each.ip_json, "link", "show", "dev", "flannel-v6.1"), "IPv6 has its device")
    eventually(
        lambda: condition(host, "MTUConsistent")["reason"] != "TooNarrow",
        lambda: str(condition(host, "MTUConsistent")),
    )
    eventually(lambda: "IPV6" in host.daemon.subnet_path.read_text(), host.daemon.subnet_path.read_text)
    _asks_no_ipv6_of_a_narrow_peer(lab)


def _asks_no_ipv6_of_a_narrow_peer(lab: Lab) -> None:
    """One of two hosts has no room: the other sends it no IPv6, and holds nothing for broken."""
    host, peer = lab.hosts
    six = leases(lab, version=6)[peer.name].subnet

    def routed() -> bool:
        return any(one["dst"] == str(six) for one in host.ip_json("-6", "route", "show"))

    eventually(routed, "both have IPv6")
    peer.ip(f"link set {peer.daemon.nic} mtu 1280")
    eventually(lambda: not routed(), "no way by IPv6")
    _said(peer, "MTUConsistent", "TooNarrow")
    assert unreached(lab.containers) == ()
    host.run(*flanpyctl(), "ping", check=False)
    for kind in ("PeersReachable", "PeerLeasesValid"):
        eventually(partial(_is_healthy, host, kind), partial(condition, host, kind), deadline=DEADLINE_S)
    peer.ip(f"link set {peer.daemon.nic} mtu 1350")
    eventually(routed, "IPv6 is back")


def test_peer_that_ignores_pings_is_reached_and_said_to_ignore_them(lab: Lab) -> None:
    host, peer = lab.hosts[1], lab.hosts[0]
    silent = f"{peer.name} does not answer pings"
    peer.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    try:
        eventually(
            lambda: "they do not answer pings" in condition(host, "PeersReachable")["message"],
            lambda: str(condition(host, "PeersReachable")),
            deadline=DEADLINE_S,
        )
        said = condition(host, "PeersReachable")
        assert peer.name in said["message"]
        assert (said["healthy"], said["reason"]) == (True, "Reachable")
        assert condition(host, "MTUConsistent")["healthy"]
        (row,) = [row for row in _peers(host) if row["node_id"] == peer.name]
        assert (row["reach"], row["trouble"]) == ("reachable", "")
        assert silent in row["evidence"]
        traced = host.run(*flanpyctl(), "trace", "-v", _container(peer), check=False)
        assert (traced.returncode, silent in traced.stdout) == (0, True)
        assert not [one for one in _findings(host) if one["severity"] == "error"]
    finally:
        peer.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
    eventually(
        lambda: "pings" not in condition(host, "PeersReachable")["message"],
        lambda: str(condition(host, "PeersReachable")),
        deadline=DEADLINE_S,
    )


def _peers(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.run(*flanpyctl(), "peers", "-o", "json").stdout)["peers"]
    return found


def test_docker_network_out_of_a_peers_subnet_is_named_by_its_id(lab: Lab) -> None:
    host, peer = lab.hosts[1], lab.hosts[0]
    name, subnet = "br-0123456789ab", peer.subnet_file.subnet.network
    host.ip(f"link add {name} type bridge", f"link set {name} up")
    # In this order: the daemon puts a removed route back at once, unless another one has its place by then.
    host.ip(f"addr add {subnet[1]}/{subnet.prefixlen} dev {name}", f"route del {subnet} proto 70")
    try:
        said = _said(host, "ForeignConflict", "RouteOverlaps")
        assert (
            f"{subnet} by {name} (the bridge of the Docker network with id 0123456789ab)" in said["message"]
        )
        assert "docker network ls --filter id=0123456789ab" in said["cure"]
        assert "default-address-pools outside 10.50.0.0/16" in said["cure"]
        traced = host.run(*flanpyctl(), "trace", _container(peer), check=False)
        assert "the bridge of the Docker network with id 0123456789ab" in traced.stdout
        found = _findings(host)
        assert ("P32", "ForeignConflict") in {(one["id"], one["condition"]) for one in found}
        status = host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout
        assert "('route'" not in status + json.dumps(found)
    finally:
        host.ip(f"link del {name}")
    eventually(
        lambda: condition(host, "ForeignConflict")["healthy"], lambda: str(condition(host, "ForeignConflict"))
    )
    assert unreached(lab.containers) == ()


def test_address_on_lo_is_advertised_and_packets_leave_from_it(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    host, peer = lab.hosts
    host.ip("addr add 203.0.113.7/32 dev lo")
    peer.ip(f"route add 203.0.113.7/32 via {host.address}")
    host.daemon.up("--public-ip=203.0.113.7")
    peer.daemon.up()
    eventually(
        lambda: leases(lab)[host.name].public_ip == "203.0.113.7",
        lambda: str(leases(lab)),
        deadline=DEADLINE_S,
    )
    eventually(lambda: len(leases(lab)) == 2, lambda: str(leases(lab)), deadline=DEADLINE_S)
    assert_settled(lab, deadline=DEADLINE_S)
    (link,) = host.ip_json("-d", "link", "show", "dev", "flannel.1")
    assert link["linkinfo"]["info_data"]["local"] == "203.0.113.7"
    assert unreached(lab.attach_containers()) == ()
