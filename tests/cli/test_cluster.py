"""`flanpyctl cluster` without a cluster: words that cannot be used, and a token that leaves the process list."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace

import pytest

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.cluster import ranges
from flanpy.cluster.token import fresh
from flanpy.kernel.wireguard_asked import has_wireguard
from flanpy.store.port import KeyValue
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


def test_encrypted_network_is_refused_where_the_kernel_cannot_and_begins_with_it_where_it_can() -> None:
    """Asks the kernel that the test runs on; the guest of tests/guest has WireGuard."""
    asked = Namespace(network="10.50.0.0/16", backend="host-gw", encrypt=True)
    if has_wireguard():
        config = ranges.wanted(asked)
        assert config is not None
        assert (config.backend_type, config.in_clear) == ("wireguard", {"Type": "host-gw"})
    else:
        with pytest.raises(
            CommandError, match="--encrypt needs WireGuard, which this kernel does not have"
        ) as told:
            ranges.wanted(asked)
        assert (told.value.code, str(told.value).count("\n")) == (Exit.REFUSED, 0)
    asked.encrypt = False
    plain = ranges.wanted(asked)
    assert plain is not None
    assert plain.backend_type == "host-gw"


def test_cluster_whose_network_is_in_clear_is_not_called_encrypted() -> None:
    there = KeyValue("/config", b'{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan"}}', 1, 1, 1, 0)
    ranges.refuse_another(None, there, encrypt=False)
    with pytest.raises(CommandError, match="network set --encrypt") as told:
        ranges.refuse_another(None, there, encrypt=True)
    assert told.value.code == Exit.CONFLICT
    encrypted = KeyValue("/config", b'{"Network":"10.50.0.0/16","Backend":{"Type":"wireguard"}}', 1, 1, 1, 0)
    ranges.refuse_another(None, encrypted, encrypt=True)
