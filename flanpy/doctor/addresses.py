"""Addresses and networks out of texts that a daemon or the kernel told: what is none is left out."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from flanpy.model.address import IPAddress, IPNetwork


def address(text: object) -> IPAddress | None:
    """Return the text's address."""
    try:
        return ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def networks(*texts: str | None) -> tuple[IPNetwork, ...]:
    """Return those of the texts that are networks."""
    return tuple(found for text in texts if text is not None and (found := _network(text)) is not None)


def _network(text: str) -> IPNetwork | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
