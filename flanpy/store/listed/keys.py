"""The keys that etcd would hold, in memory: those of the list, and this host's own value over the listed one.

Owns revisions and transactions over them. Must not read the list, nor wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flanpy.errors import StoreDenied
from flanpy.store.port import (
    Compare,
    CompareTarget,
    DeleteKey,
    Get,
    KeyValue,
    PutKey,
    Relation,
    Txn,
    TxnResult,
)


class ListedKeys:
    """All keys by name. `own` is the one key that may be written, here alone; `refusal` says what writes the others."""

    def __init__(self, refusal: str) -> None:
        self.own = ""
        self.revision = 1
        self._refusal = refusal
        self._listed: dict[str, bytes] = {}
        self._keys: dict[str, KeyValue] = {}

    def take(self, listed: Mapping[str, bytes]) -> bool:
        """Take a list; report whether it changed anything. A key whose listed value stays keeps what was written."""
        changed = {key for key, value in listed.items() if self._listed.get(key) != value}
        gone = self._listed.keys() - listed.keys()
        if not changed and not gone:
            return False
        self.revision += 1
        for key in gone:
            del self._keys[key]
        for key in changed:
            self._put(key, listed[key])
        self._listed = dict(listed)
        return True

    def below(self, prefix: str) -> tuple[KeyValue, ...]:
        """Return the keys that begin with `prefix`, in order."""
        return tuple(self._keys[key] for key in sorted(self._keys) if key.startswith(prefix))

    def get(self, key: str) -> KeyValue | None:
        """Return one key, or None."""
        return self._keys.get(key)

    def run(self, txn: Txn) -> TxnResult:
        """Run a transaction. Raises StoreDenied if it would write more than the own key's value."""
        succeeded = all(map(self._holds, txn.compare))
        branch = txn.success if succeeded else txn.failure
        reads: list[KeyValue] = []
        puts = [op for op in branch if isinstance(op, PutKey)]
        if any(isinstance(op, DeleteKey) for op in branch) or any(put.key != self.own for put in puts):
            raise StoreDenied(self._refusal)
        if puts:
            self.revision += 1
        for op in branch:
            match op:
                case PutKey(key, value):
                    self._put(key, value)
                case Get(key, True):
                    reads += self.below(key)
                case Get(key) if key in self._keys:
                    reads.append(self._keys[key])
        return TxnResult(succeeded, self.revision, tuple(reads))

    def _put(self, key: str, value: bytes) -> None:
        known = self._keys.get(key)
        if known is None:
            self._keys[key] = KeyValue(key, value, self.revision, self.revision, 1, 0)
        else:
            self._keys[key] = replace(
                known, value=value, mod_revision=self.revision, version=known.version + 1
            )

    def _holds(self, compare: Compare) -> bool:
        found = self.below(compare.key) if compare.prefix else (self._keys.get(compare.key),)
        return all(_meets(one, compare) for one in found or (None,))


def _meets(found: KeyValue | None, compare: Compare) -> bool:
    if compare.target is CompareTarget.VALUE:
        if found is None:
            return False
        seen: int | bytes = found.value
    else:
        seen = 0 if found is None else _number(found, compare.target)
    match compare.relation:
        case Relation.EQUAL:
            return seen == compare.operand
        case Relation.NOT_EQUAL:
            return seen != compare.operand
        case Relation.GREATER:
            return seen > compare.operand  # type: ignore[operator]
        case Relation.LESS:
            return seen < compare.operand  # type: ignore[operator]


def _number(found: KeyValue, target: CompareTarget) -> int:
    match target:
        case CompareTarget.CREATE_REVISION:
            return found.create_revision
        case CompareTarget.MOD_REVISION:
            return found.mod_revision
        case CompareTarget.VERSION:
            return found.version
        case _:
            return found.lease_id
