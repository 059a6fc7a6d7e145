"""The form of a token: it comes back as it was, and every damage of it is one clear error that repeats nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.cluster.token import Token, fresh, parse
from flanpy.errors import UsageError

TOKEN = fresh(("192.0.2.1:2378", "[fd00::1]:2378"), "ab" * 32)
TEXT = TOKEN.text()


def test_token_comes_back_as_it_was_whatever_blanks_a_terminal_put_in() -> None:
    assert parse(TEXT) == TOKEN
    assert parse(f"  {TEXT[:40]}\n{TEXT[40:]}\r\n") == TOKEN


def test_secret_is_no_part_of_what_a_token_shows() -> None:
    assert TOKEN.secret not in repr(TOKEN)


def test_two_tokens_have_nothing_secret_in_common() -> None:
    other = fresh(TOKEN.addresses, TOKEN.authority)
    assert (other.id, other.secret) != (TOKEN.id, TOKEN.secret)


def outcome(word: str) -> Token | UsageError:
    """Return the token that a word is, or the error. The last letter of base64 may have bits that do not count."""
    try:
        return parse(word)
    except UsageError as error:
        return error


@given(st.integers(8, len(TEXT) - 1), st.sampled_from("ABCxyz019-_"))
def test_token_with_another_letter_is_refused_as_altered(place: int, letter: str) -> None:
    word = TEXT[:place] + letter + TEXT[place + 1 :]
    found = outcome(word)
    assert found == TOKEN or ("altered" in str(found) and word[10:] not in str(found))


@given(st.text(max_size=200) | st.integers(0, len(TEXT) - 1).map(lambda end: TEXT[:end]))
def test_no_other_word_is_a_token(word: str) -> None:
    with pytest.raises(UsageError):
        parse(word)
