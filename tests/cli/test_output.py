"""Tables, JSON and YAML."""

from __future__ import annotations

import io
import json
import re

import pytest

from flanpy.cli.base.output import (
    Table,
    fitted,
    plain_table,
    print_json,
    print_table,
    wrapped,
    yaml_text,
)
from flanpy.cli.base.wording import duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


TABLE = Table(("NODE", "SUBNET"), (("node-1", "10.50.1.0/24"), ("", "10.50.2.0/24")), {0: "red"})
PLAIN = "NODE    SUBNET\nnode-1  10.50.1.0/24\n-       10.50.2.0/24\n"


def test_table_is_aligned_without_trailing_blanks() -> None:
    assert plain_table(TABLE) == PLAIN


def test_table_without_rows_is_its_titles() -> None:
    assert plain_table(Table(("A", "B"), ())) == "A  B\n"


def test_table_shows_no_control_characters_when_etcd_holds_them() -> None:
    hostile = "evil\x1b[2J\nnode\x9b"
    assert plain_table(Table(("NODE",), ((hostile,),))) == "NODE\nevil?[2J?node?\n"


def test_table_on_a_terminal_has_colour_and_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    print_table(TABLE, stream)
    assert "\x1b[31mnode-1" in stream.getvalue()
    assert _without_colour(stream.getvalue()) == PLAIN


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_table_on_a_terminal_has_no_colour_when_the_environment_forbids(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    stream = Terminal()
    print_table(TABLE, stream)
    assert stream.getvalue() == PLAIN


def _without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_json_keeps_every_value() -> None:
    stream = io.StringIO()
    print_json({"a": [1, None, True, "ü"]}, stream)
    assert json.loads(stream.getvalue()) == {"a": [1, None, True, "ü"]}
    assert "ü" in stream.getvalue()


def test_yaml_nests_mappings_and_sequences() -> None:
    value = {
        "revision": 7,
        "subnets": [{"key": "a", "vni": None, "tags": ["x", "y"]}, {"key": "no", "vni": 1, "tags": []}],
        "empty": {},
        "nested": [[1, 2], []],
    }
    assert yaml_text(value) == (
        "revision: 7\n"
        "subnets:\n"
        '  - key: "a"\n'
        "    vni: null\n"
        "    tags:\n"
        '      - "x"\n'
        '      - "y"\n'
        '  - key: "no"\n'
        "    vni: 1\n"
        "    tags: []\n"
        "empty: {}\n"
        "nested:\n"
        "  - - 1\n"
        "    - 2\n"
        "  - []"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (86399, "23 h 59 min"),
        (86400 + 59, "1 d"),
        (90061, "1 d 1 h"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


WIDE = Table(
    ("HOST", "STATE", "LOSS", "REASON"),
    (
        (
            "web-1",
            "programmed",
            "100 %",
            "PortBlocked: 192.0.2.13 answers pings beneath, nothing over the overlay",
        ),
    ),
    {},
    ("LOSS", "STATE"),
)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_table_on_a_terminal_fits_it_by_dropping_columns_and_wrapping_the_last(width: int) -> None:
    lines = [line for row in wrapped(fitted(WIDE, width), width) for line in row]
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()).endswith("".join(WIDE.rows[0][-1].split()[-1:]))
    assert lines[0].split()[0] == "HOST"


def test_table_that_fits_keeps_every_column_as_it_is_piped() -> None:
    assert fitted(WIDE, 200) == WIDE
    assert "".join(f"{line}\n" for row in wrapped(WIDE, 200) for line in row) == plain_table(WIDE)
    assert fitted(WIDE, 46).titles == ("HOST", "STATE", "REASON")
    assert fitted(WIDE, 30).titles == ("HOST", "REASON")
