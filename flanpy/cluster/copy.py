"""The copy of all keys that a member keeps, from which it can become the store's host.

Owns the copy's form on the disk. Pure but for that file. A checksum over all of it names a copy that the disk altered.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flanpy.cluster import records
from flanpy.cluster.place import KEY, Place, place_of
from flanpy.cluster.records import MEMBERS, Member
from flanpy.errors import MALFORMED, HostError
from flanpy.files import atomic

FILE: Final = "store-copy.json"
_FORMAT: Final = 1
_LARGEST: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Copy:
    """All keys at a revision, each with its value and its lease (0: none). Keys are text, as in the store's port."""

    revision: int
    items: Mapping[str, tuple[bytes, int]]

    @property
    def place(self) -> Place | None:
        """Return the place of the store that it is a copy of; None for one of an older flanpy."""
        found = self.items.get(KEY)
        return place_of(found[0]) if found else None

    def members(self) -> list[Member]:
        """Return the members whose records can be read."""
        found = (
            records.member_of(value) for key, (value, _) in self.items.items() if key.startswith(MEMBERS)
        )
        return [member for member in found if member is not None]


def save(directory: Path, copy: Copy) -> None:
    """Write it. Raises `HostError`."""
    rows = [[key, b64encode(value).decode(), lease] for key, (value, lease) in sorted(copy.items.items())]
    body = json.dumps({"format": _FORMAT, "revision": copy.revision, "items": rows})
    content = json.dumps({"sha256": _digest(body), "copy": body}).encode()
    atomic.write(directory / FILE, content, mode=0o600)


def load(directory: Path) -> Copy | None:
    """Return the copy; None if there is none. Raises `HostError` for one that cannot be used."""
    path = directory / FILE
    try:
        document: Any = json.loads(atomic.read(path, _LARGEST))
        if document["sha256"] != _digest(document["copy"]):
            raise ValueError("checksum")
        body = json.loads(document["copy"])
        items = {str(key): (b64decode(value), int(lease)) for key, value, lease in body["items"]}
        return Copy(int(body["revision"]), items)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise atomic.host_error("read", path, error) from error
    except MALFORMED:
        raise HostError(f"'{path}' is damaged: another member has a copy too") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
