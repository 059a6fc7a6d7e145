"""The list of hosts that were shut out, as it stands in etcd."""

from __future__ import annotations

import pytest

from flanpy.model.revocation import Revocation
from flanpy.store.port import KeyValue
from flanpy.store.revocations import decode_revocations, encode_revocation, revoked_key

ONE = Revocation("n1", ("AAAA", "BBBB"), "web-3", 1000.5)


def _kv(key: str, value: bytes) -> KeyValue:
    return KeyValue(key, value, 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("one", "name"),
    [(ONE, "n1"), (Revocation("a/../b c", ()), "a%2F..%2Fb%20c"), (Revocation("", ("A/+=",)), "A%2F%2B%3D")],
)
def test_entry_is_read_as_it_was_written_and_its_key_has_no_place_of_another(
    one: Revocation, name: str
) -> None:
    assert revoked_key("/net/", one) == f"/net/keys/revoked/{name}"
    assert decode_revocations([_kv("k", encode_revocation(one))]) == ((one,), ())


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"{}", b'{"NodeID":7}', b'{"Keys":[""]}', b"[" * 100_000, b"\xff"]
)
def test_entry_that_cannot_be_read_is_named_and_harms_no_other(value: bytes) -> None:
    items = [_kv("bad", value), _kv("good", encode_revocation(ONE))]
    assert decode_revocations(items) == ((ONE,), ("bad",))
