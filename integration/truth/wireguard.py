"""A WireGuard device in lines, as `wg` would show it, read by pyroute2: nothing of flanpy's own reading is used, and no
secret is in a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from integration.net.namespaces import in_namespace


def lines(namespace: str, link: str) -> Iterator[str]:
    """Yield the device's key and port, and each peer with its endpoint and addresses."""
    parts = dump(namespace, link)
    key, port = _text(parts[0]["WGDEVICE_A_PUBLIC_KEY"]), parts[0]["WGDEVICE_A_LISTEN_PORT"]
    yield f"wg {link} key {key} port {port}"
    for key, peer in peers(parts).items():
        allowed = sorted(
            (ip_network(one["addr"]) for one in peer.get("WGPEER_A_ALLOWEDIPS") or ()),
            key=lambda one: (one.version, int(one.network_address)),
        )
        shown = f"endpoint {endpoint(peer)} allowed-ips {','.join(map(str, allowed))}"
        yield f"wg {link} peer {key} {shown}"


def dump(namespace: str, link: str) -> list[dict[str, Any]]:
    """Return the device as the kernel tells of it, in one or more parts."""

    def work() -> list[dict[str, Any]]:
        from pyroute2 import WireGuard  # noqa: PLC0415, for this backend only

        with WireGuard() as kernel:
            return [dict(part["attrs"]) for part in kernel.info(link)]

    return in_namespace(namespace, work)


def peers(parts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the attributes of each peer by its public key."""
    found = [dict(one["attrs"]) for part in parts for one in part.get("WGDEVICE_A_PEERS") or ()]
    return {_text(one["WGPEER_A_PUBLIC_KEY"]): one for one in found}


def endpoint(peer: dict[str, Any]) -> str:
    """Return where the kernel sends to."""
    said = peer.get("WGPEER_A_ENDPOINT") or {}
    address = str(said.get("addr", ""))
    return f"{f'[{address}]' if ':' in address else address}:{said.get('port', 0)}"


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key
