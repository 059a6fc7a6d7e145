"""`flanpyctl cluster` without a cluster: words that cannot be used, and a token that leaves the process list."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flanpy.cluster.token import fresh
from integration.net.claim import PROJECT_ROOT

TOKEN = fresh(("192.0.2.1:2378",), "ab" * 32).text()

_SHOWS = """
import sys
from pathlib import Path
from flanpy.cli.cluster.join import hide
hide(sys.argv[1])
token = sys.stdin.read()
print(sys.argv[1], Path("/proc/self/cmdline").read_text().count(token), token)
"""


def flanpyctl(*words: str, stdin: str = "") -> tuple[int, str]:
    """Run a command; return its exit code and what it says on standard error."""
    argv = [sys.executable, "-c", "from flanpy.cli.main import main; main()", *words]
    done = subprocess.run(
        argv, input=stdin, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_token_on_the_command_line_is_out_of_the_process_list_and_still_read() -> None:
    argv = [sys.executable, "-c", _SHOWS, TOKEN]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"- 0 {TOKEN}\n"


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (("join", "-"), "", "there is no token"),
        (("join", "-"), "hello", "this is no token"),
        (("join", "-"), TOKEN[:-9], "altered or cut off"),
        (("join", "-", "--name", "a/b"), TOKEN, "--name 'a/b' cannot be used"),
        (("token", "create", "--for", "99y"), "", "--for '99y' is no time"),
        (("token", "create", "--uses", "0"), "", "--uses 0 is no number"),
        (("token", "create", "--uses", "x"), "", "invalid int value"),
        (("remove",), "", "required"),
    ],
)
def test_words_that_cannot_be_used_are_one_line_and_wrong_usage(
    words: tuple[str, ...], stdin: str, says: str
) -> None:
    code, told = flanpyctl("cluster", *words, stdin=stdin)
    assert code == 2
    assert says in told
    assert told.count("\n") == 1
    assert TOKEN not in told
