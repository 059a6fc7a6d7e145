"""systemd's environment files, case by case; tests/systemd asks systemd itself about generated ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.files.environment_file import continued_comments, parse_environment
from tests.files.environment_texts import PIECES

CASES = {
    "A=b": {"A": "b"},
    "A=b\n": {"A": "b"},
    "A = b c \n": {"A": "b c"},
    'A="a\\$b"\n': {"A": "a$b"},
    'A="two\nlines"\n': {"A": "two\nlines"},
    "A='two\nlines'\n": {"A": "two\nlines"},
    'A="a\\nb"\n': {"A": "a\\nb"},
    "A=a\\nb\n": {"A": "anb"},
    "A=a\\\nb\n": {"A": "ab"},
    'A="a\\\nb"\n': {"A": "ab"},
    "A='a'b\"c\"\n": {"A": 'ab"c"'},
    'A="a" "b"\n': {"A": "ab"},
    "A='it''s'\n": {"A": "its"},
    "A=a#b\n": {"A": "a#b"},
    "# A=b\n; B=c\n  # C=d\nE=f\n": {"E": "f"},
    "export A=b\n": {},
    "1A=b\nA-B=c\nA.B=d\n": {},
    "A\nB=c\n": {"B": "c"},
    "A=\n": {"A": ""},
    "A=b\nA=c\n": {"A": "c"},
    'A="half\nB=c\n': {"A": "half\nB=c\n"},
    "A=b\x07\nB=c\n": {"A": "b\x07", "B": "c"},
    "A=b\rB=c\r\n": {"A": "b", "B": "c"},
    "A=b\\ \n": {"A": "b "},
}


@pytest.mark.parametrize("text", CASES)
def test_text_is_read_as_systemd_reads_it(text: str) -> None:
    assert parse_environment(text.encode()) == CASES[text]


@pytest.mark.parametrize("content", [b"A=b\nB=\xff\n", b"A=b\0c\n"], ids=["not UTF-8", "a null byte"])
def test_file_that_systemd_refuses_gives_nothing(content: bytes) -> None:
    assert parse_environment(content) == {}


def test_comments_that_an_older_systemd_continues_are_found_and_no_other_backslashes() -> None:
    text = "# one \\\nA=b\n; two\\\nB=c \\\n# a value\n# three \\ \nC='#\\\n'\n  # four\\\nD=e\n# the end\\"
    assert continued_comments(text.encode()) == (1, 3, 9)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_gives_variables_that_an_environment_can_have(text: str) -> None:
    for name, value in parse_environment(text.encode()).items():
        assert name.isidentifier()
        assert "\0" not in value
