"""Our packing of WireGuard's messages against pyroute2's reading of them, and our reading of dumps."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import pyroute2  # noqa: F401, before its parts: they import each other in a circle
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.generic.wireguard import wgmsg

from flanpy.kernel import wireguard
from flanpy.kernel.wireguard import PeerChange
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.wireguard import WgDevice, WgPeer, digest, written

KEYS = st.binary(min_size=32, max_size=32).map(written)
ADDRESSES: st.SearchStrategy[IPAddress] = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)
)
NETWORKS: st.SearchStrategy[IPNetwork] = st.builds(
    lambda address, cut: (
        ip_network((int(address), address.max_prefixlen - cut), strict=False)
        if address.version == 4
        else ip_network((address.packed, address.max_prefixlen - cut), strict=False)
    ),
    ADDRESSES,
    st.integers(0, 24),
)
PORTS = st.integers(1, 65_535)


def _by_place(network: IPNetwork) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


PEERS = st.builds(
    lambda key, endpoint, port, allowed, keepalive: WgPeer(
        "flannel-wg", key, endpoint, port, tuple(sorted(allowed, key=_by_place)), "", keepalive
    ),
    KEYS,
    ADDRESSES,
    PORTS,
    st.sets(NETWORKS, max_size=3),
    st.integers(0, 65_535),
)
PSK = bytes(range(32))


def _read(body: bytes) -> Any:
    """The message as pyroute2 reads it, behind the header that a socket puts before it."""
    message = wgmsg((len(body) + 16).to_bytes(4, "little") + bytes(12) + body)
    message.decode()
    return message


def _key(peer: Any, name: str) -> str:
    return str(peer.get_attr(name).decode())


@given(PEERS)
def test_peer_is_written_as_pyroute2_reads_it(peer: WgPeer) -> None:
    found = _read(wireguard.peer_changes("flannel-wg", [PeerChange(peer, psk=PSK)]))
    assert (found["cmd"], found["version"]) == (1, 1)
    assert found.get_attr("WGDEVICE_A_IFNAME") == "flannel-wg"
    (one,) = found.get_attr("WGDEVICE_A_PEERS")
    assert _key(one, "WGPEER_A_PUBLIC_KEY") == peer.public_key
    assert _key(one, "WGPEER_A_PRESHARED_KEY") == written(PSK)
    assert one.get_attr("WGPEER_A_FLAGS") == 2  # replace the allowed addresses
    where = one.get_attr("WGPEER_A_ENDPOINT")
    assert (where["addr"], where["port"]) == (str(peer.endpoint), peer.port) or ":" in where["addr"]
    assert one.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") == peer.keepalive
    allowed = {ip_network(each["addr"]) for each in one.get_attr("WGPEER_A_ALLOWEDIPS") or ()}
    assert allowed == set(peer.allowed)


@given(PEERS, st.booleans())
def test_peer_is_read_as_it_was_written(peer: WgPeer, whole: bool) -> None:
    change = PeerChange(peer, psk=PSK if whole else None)
    _, (seen,) = wireguard.read_devices("flannel-wg", [wireguard.peer_changes("flannel-wg", [change])])
    assert seen.has_endpoint
    assert seen.peer == WgPeer(
        peer.link,
        peer.public_key,
        peer.endpoint,
        peer.port,
        peer.allowed,
        digest(PSK) if whole else "",
        peer.keepalive,
    )


@given(st.lists(PEERS, min_size=2, max_size=4, unique_by=lambda one: one.public_key))
def test_peers_of_a_message_keep_their_order(peers: list[WgPeer]) -> None:
    body = wireguard.peer_changes("flannel-wg", [PeerChange(one) for one in peers])
    _, seen = wireguard.read_devices("flannel-wg", [body])
    assert [one.peer.public_key for one in seen] == [one.public_key for one in peers]


def test_peer_whose_addresses_fill_two_messages_is_one() -> None:
    first = WgPeer(
        "flannel-wg", written(PSK), IPv4Address("192.0.2.11"), 51820, (IPv4Network("10.50.11.0/24"),)
    )
    more = WgPeer(
        "flannel-wg", written(PSK), IPv4Address("192.0.2.11"), 51820, (IPv6Network("fd50:0:0:b::/64"),)
    )
    bodies = [wireguard.peer_changes("flannel-wg", [PeerChange(one)]) for one in (first, more)]
    _, (seen,) = wireguard.read_devices("flannel-wg", bodies)
    assert seen.peer.allowed == (*first.allowed, *more.allowed)


def test_removal_names_the_key_and_nothing_else() -> None:
    peer = WgPeer("flannel-wg", written(PSK), IPv4Address("192.0.2.11"), 51820, ())
    (one,) = _read(wireguard.peer_changes("flannel-wg", [PeerChange(peer, remove=True)])).get_attr(
        "WGDEVICE_A_PEERS"
    )
    assert [name for name, _ in one["attrs"]] == ["WGPEER_A_PUBLIC_KEY", "WGPEER_A_FLAGS"]
    assert one.get_attr("WGPEER_A_FLAGS") == 1


def test_device_has_key_and_port_as_pyroute2_reads_them() -> None:
    found = _read(wireguard.device_change("flannel-wg", private=PSK, port=51820))
    assert _key(found, "WGDEVICE_A_PRIVATE_KEY") == written(PSK)
    assert found.get_attr("WGDEVICE_A_LISTEN_PORT") == 51820
    device, peers = wireguard.read_devices("flannel-wg", [wireguard.device_change("flannel-wg", port=7)])
    assert (device, peers) == (WgDevice("flannel-wg", written(bytes(32)), 7), [])
