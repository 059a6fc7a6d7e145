"""Operations: requests to the kernel, as values.

Every operation is idempotent. `Put` with `previous` None creates and must fail (EEXIST) if the key is taken: that
ensures that a foreign object which appeared meanwhile is never replaced. `Put` with `previous` changes an object of
ours in place. Deleting an absent object is success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flanpy.errors import KernelError
from flanpy.model.objects import KernelObject, Key, Setting

Objects = Mapping[Key, KernelObject]
"""Kernel objects by key; at most one per key."""


@dataclass(frozen=True, slots=True)
class Put:
    obj: KernelObject
    previous: KernelObject | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    obj: KernelObject


Op = Put | Delete


@dataclass(frozen=True, slots=True)
class OpFailure:
    """An operation that was not carried out, with its error (errno inside)."""

    op: Op
    error: KernelError


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a read-back.

    `links`: names that we want or may have left behind. Links with our alias are always read.
    `settings`: settings whose present value is wanted (the value in them is not looked at).
    A read-back returns, for those links that exist: the link, LinkUp if it is up, its addresses (not link-local ones),
    its PERMANENT neighbours and its FDB entries that have a destination; the settings that can be read;
    and all routes of the main table, of any owner, except those of `proto kernel`.
    """

    links: frozenset[str] = frozenset()
    settings: tuple[Setting, ...] = ()
