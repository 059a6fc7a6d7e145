"""The input and the counters of both UDP data planes: the table of peers and the names of the counters.

The wire format is flannel's: the payload of each UDP datagram is one bare inner IPv4 packet, nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

HEADERS = 28
"""Outer IPv4 (20) and UDP (8) headers in bytes: what the tunnel takes from the underlay's MTU."""


@dataclass(frozen=True, slots=True)
class TunnelRow:
    """One peer: packets to `subnet` go to `peer`, and only `peer` may send packets from `subnet`.

    `fast`: that peer, too, has the in-kernel plane, so packets may be exchanged without passing through user space.
    """

    subnet: IPv4Network
    peer: IPv4Address
    fast: bool = False


@dataclass(frozen=True, slots=True)
class TunnelTable:
    """The complete input that a data plane needs to forward; it is always replaced whole.

    `local` is the underlay address that datagrams leave from, `own` this host's subnet, `mtu` that of the TUN device
    (the largest inner packet, in bytes). `quiet`: the in-kernel plane receives from fast peers, and does not send to
    them.
    """

    local: IPv4Address
    port: int
    mtu: int
    own: IPv4Network
    rows: tuple[TunnelRow, ...] = ()
    quiet: bool = False


class Count(Enum):
    """The counters of a data plane since its start. `TX` is towards the underlay, `RX` from it."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and is paid for with every packet

    TX_PACKETS = "tx_packets"
    TX_BYTES = "tx_bytes"
    RX_PACKETS = "rx_packets"
    RX_BYTES = "rx_bytes"
    TX_NO_ROUTE = "tx_no_route"
    TX_TTL_EXPIRED = "tx_ttl_expired"
    TX_TOO_BIG = "tx_too_big"
    TX_MALFORMED = "tx_malformed"
    TX_ERRORS = "tx_errors"
    RX_UNKNOWN_SENDER = "rx_unknown_sender"
    RX_WRONG_SOURCE = "rx_wrong_source"
    RX_WRONG_DESTINATION = "rx_wrong_destination"
    RX_TTL_EXPIRED = "rx_ttl_expired"
    RX_MALFORMED = "rx_malformed"
    RX_ERRORS = "rx_errors"
