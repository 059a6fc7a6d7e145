"""Completion as shells do it: the script is loaded into a real bash, and read by a real zsh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import PROGRAM

ASK_BASH = """
source "$1"; shift
flanpyctl() { [ "$*" = "peers -o name" ] && printf 'node-1\\nnode-2\\n'; }
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p flanpyctl | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" flanpyctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("completion")
    made = {shell: directory / shell for shell in ("bash", "zsh")}
    for shell, path in made.items():
        path.write_text(run(*PROGRAM, "completion", shell))
    return made


def run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (("flanpyctl", "sub"), ["subnets"]),
        (("flanpyctl", "subnets", "rel"), ["release"]),
        (("flanpyctl", "status", "--ti"), ["--timeout"]),
        (("flanpyctl", "status", "-o", "j"), ["json"]),
        (("flanpyctl", "ping", "no"), ["node-1", "node-2"]),
        (("flanpyctl", "subnets", "show", "o"), ["own"]),
        (("flanpyctl", "network", "set", sys.executable[:-1]), [sys.executable]),
    ],
)
def test_bash_offers_what_fits(script: dict[str, Path], line: tuple[str, ...], offered: list[str]) -> None:
    found = run("bash", "--norc", "-c", ASK_BASH, "bash", str(script["bash"]), *line).split()
    assert set(offered) <= set(found)
    assert all(word.startswith(line[-1]) for word in found)


def test_zsh_reads_the_script_and_it_asks_for_peers(script: dict[str, Path]) -> None:
    run("zsh", "-f", "-n", str(script["zsh"]))
    text = script["zsh"].read_text()
    assert text.startswith("#compdef flanpyctl")
    assert "($(flanpyctl peers -o name 2>/dev/null))" in text
