"""wireguard on whole hosts, on a kernel that has it: flannel's devices and peers, drift, restarts, keys, and moves."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, flanpyctl, unreached
from integration.truth import wireguard
from tests.guest.moves import assert_moves_from_vxlan_and_back, index_of
from tests.lab.backend_side import condition, rows
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually, leases, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

PSK = b64encode(bytes(range(1, 33))).decode()
NETWORK6 = "fd50::/48"

HARM = (
    "link del flannel-wg",
    "link set flannel-wg down",
    "link set flannel-wg mtu 1300",
    "addr flush dev flannel-wg",
    "route flush dev flannel-wg",
)


def _wireguard(lab: Lab, **backend: object) -> None:
    lab.configure({"Network": NETWORK, "Backend": {"Type": "wireguard", **backend}})
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab, deadline=30)


def _key(host: Host, link: str = "flannel-wg") -> str:
    (part, *_) = wireguard.dump(host.namespace, link)
    return str(part["WGDEVICE_A_PUBLIC_KEY"].decode())


def test_two_hosts_are_one_overlay_of_flannels_form(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _wireguard(lab, PSK=PSK, PersistentKeepaliveInterval=25)
    one, two = lab.containers
    assert unreached(lab.containers) == ()
    assert [host.subnet_file.mtu for host in lab.hosts] == [1420, 1420]
    assert one.ping(two, size=1420 - 28).ok
    (entry,) = (e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if '"h1"' in e.value)
    value = json.loads(entry.value)
    key = _key(lab.hosts[0])
    assert (value["BackendType"], value["BackendData"]) == ("wireguard", {"PublicKey": key, "Port": 51820})
    assert {row["way"] for row in rows(lab.hosts[0]).values() if row["way"]} == {"tunnel"}
    host = lab.hosts[0]
    file = host.daemon.state_dir / "wgkey"
    assert (file.stat().st_mode & 0o7777, file.stat().st_size) == (0o600, 45)
    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={host.daemon.subnet_path}")
    assert standing(lab, host) == set()
    host.daemon.up()
    assert_settled(lab, deadline=30)
    assert _key(host) == key  # it stands on the disk
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=30)


@pytest.mark.parametrize("mode", ["separate", "auto", "ipv6"])
def test_both_families_pass_in_every_mode(build_lab: BuildLab, mode: str) -> None:
    lab = build_lab(2, ipv6=True)
    network = {"Network": NETWORK, "EnableIPv6": True, "IPv6Network": NETWORK6}
    lab.configure({**network, "Backend": {"Type": "wireguard", "Mode": mode}})
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab, deadline=30)
    assert unreached(lab.containers) == ()
    one, two = lab.containers
    assert one.ping(two, size=1420 - 28).ok
    here, there = (leases(lab, version=6)[host.name].vtep for host in lab.hosts)
    lab.hosts[0].run("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", str(1420 - 48), "-I", here, there)
    assert lab.hosts[0].has_link("flannel-wg-v6") is (mode == "separate")


def test_every_harm_is_repaired_and_a_restart_disturbs_nothing(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _wireguard(lab)
    one, two = lab.containers
    host, _ = lab.hosts
    key = _key(host)
    for harm in HARM:
        host.ip(harm)
        assert_settled(lab, deadline=30)
        eventually(lambda: one.ping(two).ok, harm, deadline=30)
    assert _key(host) == key
    with Stream(one, two) as stream:
        stream.wait_flowing()
        before = index_of(host, "flannel-wg")
        host.daemon.restart()
        assert_settled(lab, deadline=30)
        host.daemon.kill()
        host.daemon.up()
        assert_settled(lab, deadline=30)
        assert (index_of(host, "flannel-wg"), _key(host), stream.stop().whole) == (before, key, True)


def test_network_moves_from_vxlan_to_wireguard_and_back_under_a_stream(build_lab: BuildLab) -> None:
    assert_moves_from_vxlan_and_back(build_lab, "wireguard", mtu=1420, link="flannel-wg")


def test_bad_key_file_is_named_and_left_and_a_new_key_comes_only_when_it_is_moved_away(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(2)
    _wireguard(lab)
    one, two = lab.containers
    host, peer = lab.hosts
    old, file = _key(host), host.daemon.state_dir / "wgkey"
    host.daemon.stop()
    file.write_text("too short")
    host.daemon.launch()
    eventually(lambda: condition(host, "BackendReady")["reason"] == "KeyUnusable", "it is named", deadline=30)
    assert str(file) in condition(host, "BackendReady")["message"]
    assert file.read_text() == "too short"
    assert _key(host) == old  # the device goes on
    assert one.ping(two).ok

    file.rename(file.with_name("wgkey.bad"))
    host.ip("link del flannel-wg")  # else its key would be kept
    assert_settled(lab, deadline=60)
    new = _key(host)
    assert new != old
    assert old not in str(wireguard.dump(peer.namespace, "flannel-wg"))
    eventually(lambda: one.ping(two).ok, "they reach each other by the new key", deadline=30)


def test_port_that_is_closed_is_named_with_its_peer_and_trace_names_the_tunnel(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _wireguard(lab)
    one, two = lab.containers
    host, peer = lab.hosts
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=30)
    assert (condition(host, "Encrypted")["status"], condition(host, "Encrypted")["reason"]) == (
        "True",
        "Encrypted",
    )
    traced = host.run(*flanpyctl(), "trace", str(two.address)).stdout
    assert f"through flannel-wg, encrypted to {peer.name}" in traced

    peer.run("nft", "add table inet closed { chain input { type filter hook input priority 0; }; }")
    peer.run("nft", "add rule inet closed input udp dport 51820 drop")
    peer.run("nft", "add chain inet closed output { type filter hook output priority 0; }")
    peer.run("nft", "add rule inet closed output udp dport 51820 drop")
    host.ip("link del flannel-wg")  # a session that lives would be one for three minutes
    eventually(
        lambda: condition(host, "Encrypted")["reason"] == "HandshakeOverdue", "it is named", deadline=90
    )
    found = condition(host, "Encrypted")
    assert f"{peer.name} at {peer.address}:51820" in found["message"]
    assert "UDP port 51820 " in found["cure"]

    peer.run("nft", "delete table inet closed")
    eventually(lambda: condition(host, "Encrypted")["reason"] == "Encrypted", "it is over", deadline=60)
    assert one.ping(two).ok
