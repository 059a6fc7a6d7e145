"""The mark that this host was drained, so that neither a restart nor a reboot takes a lease again.

Owns `drained.json` in the state directory. A file that exists but cannot be read still means drained: staying out
when in doubt does no harm, coming back uninvited may.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from math import isfinite
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.model.lease import SubnetKey

FILE_NAME: Final = "drained.json"
_LARGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Drained:
    """`key` is the subnet that was given back, None if none was held; `since` is Unix time, 0 if not known."""

    key: SubnetKey | None = None
    since: float = 0.0


def mark(state_dir: Path, drained: Drained) -> None:
    """Raises HostError: then nothing is marked."""
    document = {"since": drained.since, **_names(drained.key)}
    atomic.write(state_dir / FILE_NAME, json.dumps(document).encode() + b"\n", mode=0o600)


def _names(key: SubnetKey | None) -> dict[str, str]:
    both = {"subnet": key.subnet, "subnet6": key.subnet6} if key is not None else {}
    return {name: str(value) for name, value in both.items() if value is not None}


def clear(state_dir: Path) -> None:
    """Take the mark away. Raises HostError."""
    path = state_dir / FILE_NAME
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise atomic.host_error("remove", path, cause) from cause


def load(state_dir: Path) -> Drained | None:
    """The mark; None if this host takes part."""
    try:
        return _drained(json.loads(atomic.read(state_dir / FILE_NAME, _LARGEST)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, *MALFORMED):
        return Drained()


def _drained(document: Any) -> Drained:
    subnet, subnet6 = document.get("subnet"), document.get("subnet6")
    key = SubnetKey(
        IPv4Network(str(subnet)) if subnet is not None else None,
        IPv6Network(str(subnet6)) if subnet6 is not None else None,
    )
    since = float(document.get("since") or 0.0)
    return Drained(key if str(key) else None, since if isfinite(since) else 0.0)
