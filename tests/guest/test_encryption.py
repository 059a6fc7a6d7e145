"""A host that requires encryption: nothing of the overlay passes its underlay in clear, whatever befalls it."""

from __future__ import annotations

import socket

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, flanpyctl
from integration.net.namespaces import in_namespace
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually
from tests.lab.wire_side import Capture

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

UNDERLAY = "eth0"
OVERLAY = bytes((10, 50))
WIREGUARD = {"Network": NETWORK, "Backend": {"Type": "wireguard"}}
VXLAN = {"Network": NETWORK, "Backend": {"Type": "vxlan"}}


def _in_clear(frame: bytes) -> bool:
    """Report whether a frame is IPv4 of the overlay: VXLAN, the UDP tunnel's, IPIP, or with inner addresses."""
    if frame[12:14] != b"\x08\x00":
        return False
    ip, protocol = frame[14:], frame[23]
    ports = (
        {int.from_bytes(ip[at : at + 2], "big") for at in (20, 22)}
        if protocol == socket.IPPROTO_UDP
        else set()
    )
    return bool(ports & {8472, 8285}) or protocol == socket.IPPROTO_IPIP or OVERLAY in (ip[12:14], ip[16:18])


def _named_networks_go_by_the_tunnel(lab: Lab) -> None:
    """A named network between two hosts that are on it by a bridge as Docker makes it: all of it is in WireGuard."""
    host = lab.hosts[0]
    host.run(*flanpyctl(), "networks", "create", "shop", "10.96.0.0/16")
    for number, one in enumerate(lab.hosts, start=1):
        one.ip(
            "link add fb-10001 mtu 1370 type bridge",
            f"addr add 10.96.0.{number}/16 dev fb-10001",
            "link set fb-10001 up",
        )
    eventually(lambda: host.ping("10.96.0.2").ok, "the named network carries", deadline=30)
    with Capture(host.namespace, UNDERLAY, sent=True) as wire:
        assert host.ping("10.96.0.2", size=1370 - 28).ok
        assert not host.ping("10.96.0.2", size=1370 - 27).ok
    assert any(_encrypted(frame) for frame in wire.frames)
    assert [frame for frame in wire.frames if _in_clear(frame) or b"\x0a\x60\x00" in frame] == []
    host.run(*flanpyctl(), "networks", "rm", "shop")


def _encrypted(frame: bytes) -> bool:
    return (
        frame[12:14] == b"\x08\x00"
        and frame[23] == socket.IPPROTO_UDP
        and frame[36:38] == (51820).to_bytes(2)
    )


def _standing(build_lab: BuildLab) -> Lab:
    lab = build_lab(2)
    lab.configure(WIREGUARD)
    lab.start_daemons("--encryption=required")
    lab.attach_containers()
    one, two = lab.containers
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=30)
    host, peer = lab.hosts
    host.ip(
        f"route replace default via {peer.address}"
    )  # by which packets would leave that have no other way
    return lab


def _hears(host: Host, peer: Host, port: int) -> bool:
    """Report whether a datagram of the peer's to this port arrives."""
    ear = in_namespace(host.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    mouth = in_namespace(peer.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with ear, mouth:
        ear.bind((str(host.address), port))
        ear.settimeout(0.5)
        mouth.sendto(b"x", (str(host.address), port))
        try:
            return bool(ear.recv(1))
        except TimeoutError:
            return False


def test_nothing_leaves_or_enters_in_clear_on_a_host_that_requires_encryption(build_lab: BuildLab) -> None:
    lab = _standing(build_lab)
    one, two = lab.containers
    host, peer = lab.hosts
    assert condition(host, "Encrypted")["reason"] == "Encrypted"
    assert condition(host, "FirewallReady")["status"] == "True", condition(host, "FirewallReady")
    _named_networks_go_by_the_tunnel(lab)
    peer.daemon.restart("--encryption=off")
    with Capture(host.namespace, UNDERLAY, sent=True) as wire:
        assert one.ping(two).ok
        lab.configure(VXLAN)
        eventually(lambda: '"BackendType":"vxlan"' in _lease_of(lab, peer), "the peer moves", deadline=30)
        eventually(
            lambda: "encryption=required" in condition(host, "NetworkConfigValid")["message"],
            "refused",
            deadline=30,
        )
        eventually(
            lambda: "is of backend vxlan" in condition(host, "PeerLeasesValid")["message"],
            "refused",
            deadline=30,
        )
        assert not one.ping(two).ok
        lab.configure(WIREGUARD)
        eventually(lambda: one.ping(two).ok, "they reach each other again", deadline=60)
        peer.daemon.stop()
        peer.run("nft", "flush", "ruleset")
        assert {port: _hears(host, peer, port) for port in (8472, 8285, 9999)} == {
            8472: False,
            8285: False,
            9999: True,
        }
        host.daemon.kill()
        host.ip("link del flannel-wg")
        assert not one.ping(two).ok
        assert {port: _hears(host, peer, port) for port in (8472, 9999)} == {8472: False, 9999: True}
    assert any(_encrypted(frame) for frame in wire.frames)
    assert [frame for frame in wire.frames if _in_clear(frame)] == []


def _lease_of(lab: Lab, host: Host) -> str:
    entries = lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")
    return next(entry.value for entry in entries if f'"{host.name}"' in entry.value)
