"""The place of a cluster's store: at which addresses it is, and which store counts.

Owns the record of it, a key of the cluster, and the file in which a host remembers it. Must not dial. The key is
written by the operator alone: by `cluster init`, `store promote` and `store move`. A record with a higher number takes
the place of one with a lower one, on every host that follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from flanpy.cluster.records import PREFIX
from flanpy.errors import MALFORMED
from flanpy.files import atomic

KEY: Final = f"{PREFIX}store"
FILE: Final = "store-place.json"
AUTHORITY_FILE: Final = "store-authority.pem"
EMBEDDED, ETCD = "embedded", "etcd"
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store's place. `number` counts the places that the cluster had.

    `cluster_id`, `generation` and `member` are what the embedded store's answers say of it: of two stores of one
    cluster the one with the higher generation counts, and of two promoted at once the one with the higher member.
    `authority` is what vouches for the addresses, PEM; "" for what the host has from its join. `joins` are
    `host:port`.
    """

    number: int
    kind: str
    endpoints: tuple[str, ...]
    joins: tuple[str, ...] = ()
    authority: str = ""
    cluster_id: int = 0
    generation: int = 0
    member: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """Return what decides which of two records is newer."""
        return self.number, self.member

    @property
    def embedded(self) -> bool:
        """Tell whether the embedded store stands there, not an etcd."""
        return self.kind == EMBEDDED

    def encoded(self) -> bytes:
        """Return the value of the record."""
        return json.dumps(asdict(self)).encode()


def place_of(value: bytes) -> Place | None:
    """Return the place that a value is; None if it cannot be read."""
    try:
        document: Any = json.loads(value)
        texts = (*document["endpoints"], *document["joins"], document["authority"], document["kind"])
        numbers = tuple(document[name] for name in ("number", "cluster_id", "generation", "member"))
        if not document["endpoints"] or not _all(texts, str) or not _all(numbers, int):
            return None
        tuples = {name: tuple(document[name]) for name in ("endpoints", "joins")}
        return Place(**{**document, **tuples})
    except MALFORMED:
        return None


def remembered(directory: Path) -> Place | None:
    """Return the place that this host knows; None if it knows none, or may not look."""
    with suppress(OSError):
        return place_of(atomic.read(directory / FILE, _LARGEST))
    return None


def remember(directory: Path, place: Place) -> None:
    """Keep a place, and the authority that vouches for it, first. Raises `HostError`."""
    if place.authority:
        atomic.write(directory / AUTHORITY_FILE, place.authority.encode())
    atomic.write(directory / FILE, place.encoded())


def _all(values: Iterable[object], kind: type) -> bool:
    return all(isinstance(one, kind) for one in values)
