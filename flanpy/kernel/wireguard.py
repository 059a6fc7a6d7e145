"""WireGuard devices and peers as generic netlink messages, both ways (linux/wireguard.h, version 1).

A dump carries the private key and every pre-shared key: they leave this module only as a public key and as digests.
Must not: choose what to write, or know where secrets are kept.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.wireguard import SeenPeer, WgDevice, WgPeer, digest, written
from flanpy.netlink.framing import U16, U32, attribute, attributes, each_attribute, packed
from flanpy.netlink.numbers import NESTED

GENERIC: Final = 16
"""NETLINK_GENERIC."""

CONTROL: Final = 0x10
_GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_HEADER: Final = struct.Struct("=BBH")  # genlmsghdr: command, version
_GET_DEVICE, _SET_DEVICE, _VERSION = 0, 1, 1
_IFNAME, _PRIVATE_KEY, _PUBLIC_KEY, _PORT, _PEERS = 2, 3, 4, 6, 8
_PEER_KEY, _PSK, _FLAGS, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _RECEIVED, _SENT, _ALLOWED = range(1, 10)
_REMOVE_ME, _REPLACE_ALLOWED, _UPDATE_ONLY = 1, 2, 4
_FAMILY, _ADDRESS, _LENGTH = 1, 2, 3
_AF_INET, _AF_INET6 = 2, 10
_ENDPOINT4, _ENDPOINT6 = struct.Struct("=H2s4s8x"), struct.Struct("=H2sI16sI")
_TIMES: Final = struct.Struct("=qq")
_U64: Final = struct.Struct("=Q")

PEERS_A_MESSAGE: Final = 200
"""A nest holds 64 kB; a peer of two subnets takes 172 bytes."""


@dataclass(frozen=True, slots=True)
class PeerChange:
    """A change to be written of a peer; `psk` None leaves it, and so does an `endpoint` of False.

    `known`: the peer is changed if it is there, and not made.
    """

    peer: WgPeer
    psk: bytes | None = None
    endpoint: bool = True
    allowed: bool = True
    remove: bool = False
    known: bool = False


def family_question() -> bytes:
    """Ask for the number that WireGuard's messages have in this kernel; it loads the module, where there is one."""
    return _HEADER.pack(_GETFAMILY, 1, 0) + attribute(_FAMILY_NAME, b"wireguard\0")


def family_number(body: bytes) -> int:
    """Read the answer."""
    return int(U16.unpack(attributes(body, _HEADER.size, len(body))[_FAMILY_ID])[0])


def device_question(link: str) -> bytes:
    """Ask for a device with all its peers: a dump."""
    return _HEADER.pack(_GET_DEVICE, _VERSION, 0) + attribute(_IFNAME, packed(link) + b"\0")


def device_change(link: str, *, private: bytes | None = None, port: int | None = None) -> bytes:
    """Give a device a key, a port, or both. A port that is taken is refused, and the old one stays."""
    body = _named(link)
    body += attribute(_PRIVATE_KEY, private) if private is not None else b""
    return body + (attribute(_PORT, U16.pack(port)) if port is not None else b"")


def peer_changes(link: str, changes: Sequence[PeerChange]) -> bytes:
    """Write some peers, in order, up to the first refusal. An address that another peer has moves at once."""
    return _named(link) + _nest(_PEERS, (_nest(0, _peer(one)) for one in changes))


def read_devices(link: str, bodies: Iterable[bytes]) -> tuple[WgDevice | None, list[SeenPeer]]:
    """Read a dump: a peer whose addresses do not fit one message goes on in the next."""
    device: WgDevice | None = None
    peers: dict[str, SeenPeer] = {}
    for body in bodies:
        found = attributes(body, _HEADER.size, len(body))
        if device is None and _PORT in found:
            public = written(found.get(_PUBLIC_KEY, bytes(32)))
            device = WgDevice(link, public, U16.unpack(found[_PORT])[0])
        for _, raw in each_attribute(found.get(_PEERS, b"")):
            seen = _seen(link, raw)
            before = peers.get(seen.peer.public_key)
            peers[seen.peer.public_key] = _joined(before, seen) if before is not None else seen
    return device, list(peers.values())


def read_private_key(bodies: Iterable[bytes]) -> bytes | None:
    """Read the private key in a dump, None if the device has none: for the key store alone."""
    for body in bodies:
        key = attributes(body, _HEADER.size, len(body)).get(_PRIVATE_KEY, b"")
        if any(key):
            return key
    return None


def _joined(first: SeenPeer, more: SeenPeer) -> SeenPeer:
    peer = first.peer
    allowed = _sorted((*peer.allowed, *more.peer.allowed))
    whole = WgPeer(peer.link, peer.public_key, peer.endpoint, peer.port, allowed, peer.psk, peer.keepalive)
    return SeenPeer(whole, first.has_endpoint, first.handshake, first.received, first.sent)


def _seen(link: str, raw: bytes) -> SeenPeer:
    found = attributes(raw, 0, len(raw))
    address, port = _read_endpoint(found.get(_ENDPOINT, b""))
    keepalive = U16.unpack(found.get(_KEEPALIVE, bytes(2)))[0]
    allowed = _sorted(_read_allowed(one) for _, one in each_attribute(found.get(_ALLOWED, b"")))
    peer = WgPeer(
        link,
        written(found[_PEER_KEY]),
        address or IPv4Address(0),
        port,
        allowed,
        digest(found.get(_PSK, b"")),
        keepalive,
    )
    handshake = _TIMES.unpack(found.get(_HANDSHAKE, bytes(16)))[0]
    received, sent = (_U64.unpack(found.get(name, bytes(8)))[0] for name in (_RECEIVED, _SENT))
    return SeenPeer(peer, address is not None, handshake, received, sent)


def _sorted(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(sorted(networks, key=lambda one: (one.version, int(one.network_address), one.prefixlen)))


def _read_allowed(raw: bytes) -> IPNetwork:
    found = attributes(raw, 0, len(raw))
    return ip_network((found[_ADDRESS], found[_LENGTH][0]))


def _read_endpoint(raw: bytes) -> tuple[IPAddress | None, int]:
    if len(raw) == _ENDPOINT4.size:
        _, port, address = _ENDPOINT4.unpack(raw)
        return IPv4Address(address), int.from_bytes(port, "big")
    if len(raw) == _ENDPOINT6.size:
        _, port, _, address, _ = _ENDPOINT6.unpack(raw)
        return IPv6Address(address), int.from_bytes(port, "big")
    return None, 0


def _named(link: str) -> bytes:
    return _HEADER.pack(_SET_DEVICE, _VERSION, 0) + attribute(_IFNAME, packed(link) + b"\0")


def _peer(change: PeerChange) -> Iterable[bytes]:
    peer = change.peer
    yield attribute(_PEER_KEY, a2b_base64(peer.public_key))
    if change.remove:
        yield attribute(_FLAGS, U32.pack(_REMOVE_ME))
        return
    if change.psk is not None:
        yield attribute(_PSK, change.psk)
    flags = (_REPLACE_ALLOWED if change.allowed else 0) | (_UPDATE_ONLY if change.known else 0)
    if flags:
        yield attribute(_FLAGS, U32.pack(flags))
    if change.endpoint:
        yield attribute(_ENDPOINT, _endpoint(peer.endpoint, peer.port))
    yield attribute(_KEEPALIVE, U16.pack(peer.keepalive))
    if change.allowed:
        yield _nest(_ALLOWED, (_nest(0, _allowed(one)) for one in peer.allowed))


def _allowed(network: IPNetwork) -> Iterable[bytes]:
    yield attribute(_FAMILY, U16.pack(_AF_INET if network.version == 4 else _AF_INET6))
    yield attribute(_ADDRESS, network.network_address.packed)
    yield attribute(_LENGTH, bytes([network.prefixlen]))


def _endpoint(address: IPAddress, port: int) -> bytes:
    number = port.to_bytes(2, "big")
    if address.version == 4:
        return _ENDPOINT4.pack(_AF_INET, number, address.packed)
    return _ENDPOINT6.pack(_AF_INET6, number, 0, address.packed, 0)


def _nest(kind: int, parts: Iterable[bytes]) -> bytes:
    """Return a nest; without its flag the kernel refuses it."""
    return attribute(kind | NESTED, b"".join(parts))
