"""Tokens let in whom they say, and records come back as they were."""

from __future__ import annotations

import pytest

from flanpy.cluster.records import (
    REASONS,
    Member,
    Refused,
    TokenRecord,
    admitted,
    encoded,
    member_of,
    token_of,
)
from flanpy.cluster.token import hashed

RECORD = TokenRecord("0a1b2c3d", hashed("secret"), ends=1000, uses=2, used=("m1",))
MEMBER = Member("m1", "web-1", "node", "192.0.2.1", 900)


def test_records_come_back_as_they_were() -> None:
    assert token_of(encoded(RECORD)) == RECORD
    assert member_of(encoded(MEMBER)) == MEMBER


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"id": 1}', b"[" * 100_000])
def test_value_that_is_no_record_is_none(value: bytes) -> None:
    assert token_of(value) is None
    assert member_of(value) is None


@pytest.mark.parametrize(
    ("record", "secret", "member", "now", "outcome"),
    [
        (None, "secret", "m2", 0, Refused.UNKNOWN),
        (RECORD, "guess", "m2", 0, Refused.UNKNOWN),
        (RECORD, "guess", "m1", 2000, Refused.UNKNOWN),
        (RECORD, "secret", "m2", 1000, Refused.ENDED),
        (RECORD, "secret", "m1", 1000, Refused.ENDED),
        (TokenRecord("t", hashed("secret"), 1000, 1, ("m1",)), "secret", "m2", 0, Refused.SPENT),
        (RECORD, "secret", "m2", 999, ("m1", "m2")),
        (RECORD, "secret", "m1", 999, ("m1",)),
    ],
)
def test_token_lets_in_whom_it_says(
    record: TokenRecord | None, secret: str, member: str, now: float, outcome: object
) -> None:
    found = admitted(record, secret, member, now=now)
    assert (found if isinstance(found, Refused) else found.used) == outcome


def test_every_refusal_has_words() -> None:
    assert set(REASONS) == set(Refused)
