"""The own lease on disk, so that a host boots with its subnet while etcd cannot be reached.

Owns `lease.json` in the state directory: format, version, and the check whether its content may be used.
Any fault makes it absent with a reason; it never stops the daemon, which can always lease again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.host.absent import Absent
from flanpy.model.border import EtcdAddress, KnownBorder
from flanpy.model.lease import SubnetKey
from flanpy.printable import on_one_line

FILE_NAME: Final = "lease.json"
_VERSION: Final = 1
_LARGEST: Final = 1 << 20
_LONGEST_SHOWN: Final = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLease:
    """The own lease as last known. `network_config` is the JSON text from etcd; `saved_at` is Unix time.

    `border` is None in a file of a version that kept none. `newest` are leases, by key and value as in etcd, whose
    routes are so new that they would be doubted if etcd fell silent; what they say is for others to judge.
    """

    key: SubnetKey
    lease_id: int
    revision: int
    node_id: str
    network_config: str
    public_ip: IPv4Address | None
    public_ip6: IPv6Address | None = None
    saved_at: float
    border: KnownBorder | None = None
    newest: tuple[tuple[str, str], ...] = ()


def save(state_dir: Path, lease: SavedLease) -> bool:
    """Write the file if it differs. Raises HostError; the old file then stands."""
    return atomic.write(
        state_dir / FILE_NAME, json.dumps(_document(lease), indent=1).encode() + b"\n", mode=0o600
    )


def forget(state_dir: Path) -> None:
    """Remove the file, as after the lease was released. Raises HostError."""
    path = state_dir / FILE_NAME
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise atomic.host_error("remove", path, cause) from cause


def load(state_dir: Path, *, node_id: str) -> SavedLease | Absent:
    """The saved lease if it can be read and is this node's (a copied disk carries another's)."""
    path = state_dir / FILE_NAME
    try:
        lease = _lease(json.loads(atomic.read(path, _LARGEST)))
    except FileNotFoundError:
        return Absent()
    except OSError as cause:
        return Absent(f"cannot read '{path}': {cause.strerror}")
    except MALFORMED as cause:
        return Absent(
            f"'{path}' cannot be used, a new lease will replace it: {type(cause).__name__}: {_short(cause)}"
        )
    if lease.node_id != node_id:
        return Absent(
            f"'{path}' belongs to node '{_short(lease.node_id)}', this is '{node_id}': it is left out of account"
        )
    return lease


def _document(lease: SavedLease) -> dict[str, object]:
    return {
        "version": _VERSION,
        "subnet": _text(lease.key.subnet),
        "subnet6": _text(lease.key.subnet6),
        "lease_id": lease.lease_id,
        "revision": lease.revision,
        "node_id": lease.node_id,
        "network_config": lease.network_config,
        "public_ip": _text(lease.public_ip),
        "public_ip6": _text(lease.public_ip6),
        "saved_at": lease.saved_at,
        **(_border_document(lease.border) if lease.border is not None else {}),
        **({"newest_leases": dict(lease.newest)} if lease.newest else {}),
    }


def _border_document(border: KnownBorder) -> dict[str, object]:
    return {
        "first_networks": [str(one) for one in border.first],
        "etcd_addresses": [[one.endpoint, str(one.address)] for one in border.etcd],
    }


def _border(document: dict[str, Any]) -> KnownBorder | None:
    if "first_networks" not in document:
        return None
    return KnownBorder(
        tuple(map(ip_network, _typed(document, "first_networks", list))),
        tuple(
            EtcdAddress(str(name), ip_address(address))
            for name, address in _typed(document, "etcd_addresses", list)
        ),
    )


def _newest(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    if "newest_leases" not in document:
        return ()
    found = _typed(document, "newest_leases", dict)
    return tuple((key, _typed(found, key, str)) for key in found)


def _short(found: object) -> str:
    text = on_one_line(str(found))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _lease(document: Any) -> SavedLease:
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        found = document.get("version") if isinstance(document, dict) else document
        raise ValueError(f"version {found!r} is not {_VERSION}")
    return SavedLease(
        key=_key(document),
        lease_id=_typed(document, "lease_id", int),
        revision=_typed(document, "revision", int),
        node_id=_typed(document, "node_id", str),
        network_config=_typed(document, "network_config", str),
        public_ip=_optional(document, "public_ip", IPv4Address),
        public_ip6=_optional(document, "public_ip6", IPv6Address),
        saved_at=float(document["saved_at"]),
        border=_border(document),
        newest=_newest(document),
    )


def _key(document: dict[str, Any]) -> SubnetKey:
    key = SubnetKey(_optional(document, "subnet", IPv4Network), _optional(document, "subnet6", IPv6Network))
    if key.subnet is None and key.subnet6 is None:
        raise ValueError("no subnet")
    return key


def _typed(document: dict[str, Any], name: str, kind: type[T]) -> T:
    value = document[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} {value!r} is no {kind.__name__}")
    return value


def _optional(document: dict[str, Any], name: str, kind: Callable[[str], T]) -> T | None:
    return None if document[name] is None else kind(_typed(document, name, str))
