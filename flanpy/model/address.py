"""Addresses: the `ipaddress` types under short names, link-layer addresses, and families.

Past the adapters an address is never a `str`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface


def is_within(part: IPNetwork, whole: IPNetwork) -> bool:
    """Report whether `whole` holds all of `part`; a network of the other family is in none."""
    return part.prefixlen >= whole.prefixlen and part.network_address in whole


def bracketed(host: IPAddress | str) -> str:
    """Return a host as it stands before a port (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in str(host) else str(host)


_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")


class Family(IntEnum):
    """Address family, by its number in the kernel (AF_INET, AF_INET6)."""

    IPV4 = 2
    IPV6 = 10

    @classmethod
    def of(cls, address: IPAddress | IPNetwork | IPInterface) -> Family:
        return cls.IPV4 if address.version == 4 else cls.IPV6

    @property
    def bits(self) -> int:
        """Length of an address of this family in bits."""
        return 32 if self is Family.IPV4 else 128


@dataclass(frozen=True, slots=True)
class Mac:
    """A 48-bit link-layer address."""

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != 6:
            raise ValueError(f"a MAC address has 6 bytes, not {len(self.packed)}")

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Read `02:00:5e:10:00:01`; raises ValueError on anything else."""
        if not _MAC.fullmatch(text):
            raise ValueError(f"{text!r} is no MAC address like 02:00:5e:10:00:01")
        return cls(bytes.fromhex(text.replace(":", "")))

    @classmethod
    def derived(cls, text: str) -> Mac:
        """Return the same address for the same text: unicast, locally administered (IEEE 802c)."""
        digest = hashlib.sha256(text.encode()).digest()
        return cls(bytes([digest[0] & 0xFC | 0x02]) + digest[1:6])

    @property
    def is_unicast(self) -> bool:
        """Can be the address of one station: the group bit is clear and it is not all zeros (IEEE 802)."""
        return not self.packed[0] & 1 and any(self.packed)

    def __str__(self) -> str:
        return self.packed.hex(":")
