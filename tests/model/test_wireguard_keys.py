"""WireGuard's keys: their one form in text, digests that stand for secrets, and the public half of a private one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.wireguard import digest, key_of, written
from flanpy.model.x25519 import clamped, public_key

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS)
def test_public_key_is_the_one_that_a_well_known_library_computes(private: bytes) -> None:
    expected = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    assert public_key(private) == public_key(clamped(private)) == expected


@given(KEYS)
def test_key_is_read_as_it_was_written(key: bytes) -> None:
    assert key_of(written(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 43,
        "A" * 44,
        "A" * 43 + "B",
        "A" * 42 + "B=",
        "A" * 43 + "=\n",
        "\u00e4" * 44,
        "-" * 43 + "=",
        "A" * 45,
    ],
)
def test_text_of_another_form_is_no_key(text: str) -> None:
    assert key_of(text) is None


@given(KEYS)
def test_digest_names_a_secret_without_telling_it(key: bytes) -> None:
    assert digest(key) == digest(key)
    assert (digest(key) == "") == (not any(key))
    assert written(key)[:12] not in digest(key)
