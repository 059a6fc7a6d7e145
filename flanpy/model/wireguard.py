"""WireGuard's kernel objects. No secret stands in any of them: keys are public ones, a pre-shared key is a digest.

A device is two objects, as rtnetlink makes it and generic netlink gives it key and port; each peer is one.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.put_order import LINK_ALIAS, PutOrder
from flanpy.model.traits import LinkTraits, OnLink

LINKS: Final = {Family.IPV4: "flannel-wg", Family.IPV6: "flannel-wg-v6"}
"""flannel's devices, one for each family of the overlay."""

OVERHEAD: Final = 80
"""Outer IPv6 + UDP + WireGuard's own header, in bytes: flannel takes it off whatever the underlay's family."""

STALE_S: Final = 180
"""Seconds after which a session is dead (REJECT_AFTER_TIME): until then a peer is where its packets come from."""

KEY_BYTES: Final = 32
_KEY_LETTERS: Final = 44


def key_of(text: str) -> bytes | None:
    """Return the 32 bytes of a key in base64, None if the text is no key in its one usual form."""
    if len(text) != _KEY_LETTERS or not text.isascii():
        return None
    try:
        key = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES and written(key) == text else None


def written(key: bytes) -> str:
    """Return a key as leases and tools write it."""
    return binascii.b2a_base64(key, newline=False).decode()


def digest(secret: bytes) -> str:
    """Return the name by which a secret is compared; "" for none, which the kernel writes as zeros."""
    return sha256(b"flanpy" + secret).hexdigest()[:16] if any(secret) else ""


def fingerprint(public_key: str) -> str:
    """Return the name of a key for people: the first eight characters tell hosts apart."""
    return public_key[:8]


@dataclass(frozen=True, slots=True)
class WireguardLink(LinkTraits):
    """A WireGuard device as a link; its key, port and peers are not the link's affair."""

    name: str
    mtu: int
    alias: str = LINK_ALIAS


@dataclass(frozen=True, slots=True)
class WgDevice(OnLink):
    """The key pair of a device, by its public half, and its UDP port."""

    link: str
    public_key: str
    port: int

    phase = PutOrder.LINK_SETTING
    deletable = False

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("wgdevice", self.link)


@dataclass(frozen=True, slots=True)
class WgPeer(OnLink):
    """A peer, which the kernel knows by its public key: its host, and the sources and destinations that are its own.

    `endpoint` is where we send to until an authentic packet comes from elsewhere. `allowed` is in order. `psk` is the
    digest of the pre-shared key, `keepalive` is in seconds, 0 for none.
    """

    link: str
    public_key: str
    endpoint: IPAddress
    port: int
    allowed: tuple[IPNetwork, ...]
    psk: str = ""
    keepalive: int = 0

    phase = PutOrder.TUNNEL
    is_of_peer = True

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("wgpeer", self.link, self.public_key)

    @property
    def destinations(self) -> tuple[IPNetwork, ...]:
        return self.allowed

    @property
    def socket(self) -> str:
        """Return the endpoint as tools write it."""
        host = f"[{self.endpoint}]" if self.endpoint.version == 6 else str(self.endpoint)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SeenPeer:
    """A peer as dumped. `handshake` is the wall clock's second of the last one, 0 if there was none.

    `has_endpoint` is False where the kernel knows no address to send to; `received` and `sent` are bytes since it was
    made.
    """

    peer: WgPeer
    has_endpoint: bool
    handshake: int = 0
    received: int = 0
    sent: int = 0


class SessionState(Enum):
    """The life of a session: it lives, it died for want of traffic, there was none."""

    UP = "up"
    IDLE = "idle"
    NONE = "none"


def session_state(seen: SeenPeer, now: float) -> SessionState:
    """Return it at this second of the wall clock. An idle pair has none, so that its age alone tells no fault."""
    if not seen.handshake:
        return SessionState.NONE
    return SessionState.UP if now - seen.handshake <= STALE_S else SessionState.IDLE
