"""The door: which names and which secrets are good."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.page.gate import COOKIE, PageGate, read_token

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8474", "127.0.0.1:8474", "127.8.8.8", "[::1]:8474"])
def test_loopback_answers_to_local_names(host: str) -> None:
    assert PageGate(loopback=True).knows_host(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8474", "localhost.evil.example", "10.0.0.1", "[::2]"]
)
def test_loopback_answers_to_no_name_that_a_web_site_could_rebind(host: str) -> None:
    assert not PageGate(loopback=True).knows_host(host)


def test_open_page_answers_to_every_name() -> None:
    assert PageGate(loopback=False, token=TOKEN).knows_host("node-1.example:8474")


def test_gate_without_a_token_admits_everybody() -> None:
    assert PageGate(loopback=True).admits("", {})
    assert not PageGate(loopback=True).is_token("")


def test_gate_admits_the_bearer_of_the_token_and_of_its_cookie_only() -> None:
    gate = PageGate(loopback=False, token=TOKEN)
    assert gate.admits(f"Bearer {TOKEN}", {})
    assert gate.admits(f"bearer {TOKEN}", {})
    assert gate.admits("", {COOKIE: gate.cookie})
    for header in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \udcffé"):
        assert not gate.admits(header, {COOKIE: TOKEN})


def test_cookie_tells_nothing_of_the_token_and_outlives_a_restart() -> None:
    gate = PageGate(loopback=False, token=TOKEN)
    assert TOKEN not in gate.cookie
    assert TOKEN not in repr(gate)
    assert gate.cookie == PageGate(loopback=False, token=TOKEN).cookie
    assert gate.cookie != PageGate(loopback=False, token=TOKEN + "x").cookie


def test_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"  {TOKEN}\nand a note\n")
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe" * 20])
def test_token_that_is_none_is_refused_by_the_name_of_its_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(HostError, match=str(tmp_path / "token")):
        read_token(tmp_path / "token")
