"""The command line: usage errors, help, settings, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from flanpy import __version__
from flanpy.cli.base.options import OPTIONS
from flanpy.cli.base.pages import GROUPS
from flanpy.cli.tree import build
from tests.cli.conftest import Ctl


def commands(
    parser: ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for word, below in action.choices.items():
                yield (*words, word), below
                yield from commands(below, (*words, word))


COMMANDS = dict(commands(build()))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_a_function_and_explains_itself(words: tuple[str, ...], ctl: Ctl) -> None:
    module, _, function = COMMANDS[words].get_default("run").partition(":")
    assert callable(getattr(import_module(f"flanpy.cli.{module}"), function))
    ended = ctl(*words, "--help")
    assert ended.code == 0
    assert "examples:\n  flanpyctl " in ended.out
    assert "7 refused without --force" in ended.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["subents"], "did you mean 'subnets'?"),
        (["stauts"], "did you mean 'status'?"),
        (["peers", "--wathc"], "did you mean '--watch'?"),
        (["status", "--etcd-endpoint=http://x"], "did you mean '--etcd-endpoints'?"),
        (["status", "-o", "jsn"], "did you mean 'json'?"),
        (["help", "pign"], "did you mean 'ping'?"),
        (["network", "int", "10.50.0.0/16"], "did you mean 'init'?"),
        (["network", "shwo"], "show"),
        (["subnets", "-o", "xml"], "xml"),
        (["status", "--timeout", "soon"], "soon"),
        (["subnets", "show"], "SUBNET"),
        (["version", "--bogus"], "--bogus"),
        (["config", "show", "--local", "--etcd-endpoints", "ftp://x"], "ftp://x"),
    ],
    ids=" ".join,
)
def test_usage_error_exits_2_with_one_line_that_names_it(words: list[str], named: str, ctl: Ctl) -> None:
    ended = ctl(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("flanpyctl: ")
    assert ended.err.count("\n") == 1
    assert named in ended.err


def test_no_command_prints_help_and_exits_2(ctl: Ctl) -> None:
    ended = ctl()
    assert ended.code == 2
    assert ended.out.startswith("Usage: flanpyctl")


def test_front_page_has_every_command_once_in_a_group_and_fits_80_columns(ctl: Ctl) -> None:
    grouped = [name for _, names in GROUPS for name in names]
    assert sorted(grouped) == sorted({words[0] for words in COMMANDS})
    page = ctl("--help").out
    assert max(map(len, page.splitlines())) <= 80
    assert len(page.splitlines()) <= 40
    assert "--etcd-endpoints" not in page
    assert ctl("help").out == page


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_a_command_fits_80_columns_and_leaves_the_settings_to_their_page(
    words: tuple[str, ...], ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = ctl("help", *words).out
    assert said == ctl(*words, "--help").out
    assert "--state-dir" not in said
    assert [line for line in said.splitlines() if len(line) > 80] == []


def test_settings_have_one_page(ctl: Ctl) -> None:
    said = ctl("help", "settings").out
    assert {f"--{name}" for name in OPTIONS} <= {*said.split()}
    assert "7 refused without --force" in ctl("help", "exit-codes").out


def test_other_name_of_a_command_is_the_command(ctl: Ctl) -> None:
    assert ctl("peer").err == ctl("peers").err


@pytest.mark.parametrize("words", [["version"], ["--version"]], ids=" ".join)
def test_version_is_printed_even_if_settings_are_broken(
    words: list[str], ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANPYD_CONFIG", "/nowhere/at/all")
    ended = ctl(*words)
    assert (ended.code, ended.out) == (0, f"flanpyctl {__version__}\n")


def test_version_as_json(ctl: Ctl) -> None:
    assert json.loads(ctl("version", "-o", "json").out) == {"version": __version__}


def test_broken_settings_file_exits_1_and_is_named(ctl: Ctl) -> None:
    (ctl.run_dir / "flanpyd.toml").write_text('etcd-prefx = "/x"\n')
    ended = ctl("config", "show")
    assert ended.code == 1
    assert "etcd-prefx" in ended.err
    assert "etcd-prefix" in ended.err


def test_settings_may_stand_before_or_after_the_command_and_the_last_counts(ctl: Ctl) -> None:
    words = ("--etcd-prefix=/before", "config", "show", "--local", "-o", "json")
    assert _value(ctl(*words).out, "etcd-prefix") == "/before"
    assert _value(ctl(*words, "--etcd-prefix=/after").out, "etcd-prefix") == "/after"


def _value(text: str, name: str) -> str:
    found = next(one for one in json.loads(text) if one["name"] == name)
    assert found["origin"] == f"flag --{name}"
    return str(found["value"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command_and_suits_its_shell(shell: str, ctl: Ctl) -> None:
    ended = ctl("completion", shell)
    assert ended.code == 0
    assert all(word in ended.out for words in COMMANDS for word in words)
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=ended.out, text=True, check=True, timeout=20)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "main base.host subnets.subnets subnets.listing base.control",
            {"asyncio", "grpc", "aiohttp", "rich", "structlog", "msgspec"},
        ),
        (
            "main base.host subnets.subnets base.etcd subnets.etcd_listing",
            {"http.client", "aiohttp", "rich", "pyroute2", "shtab"},
        ),
        (
            "main base.host look.peers look.ping look.mesh look.events look.top look.trace repair.diag",
            {"asyncio", "grpc", "aiohttp", "rich", "structlog", "msgspec", "pyroute2"},
        ),
    ],
    ids=["by socket", "by etcd", "close looks"],
)
def test_command_imports_nothing_that_would_make_it_slow(modules: str, heavy: set[str]) -> None:
    imports = ", ".join(f"flanpy.cli.{module}" for module in modules.split())
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {imports}; print(*sys.modules)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=90,
    )
    assert heavy & set(loaded.stdout.split()) == set()


def test_broken_pipe_ends_quietly(ctl: Ctl) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", "from flanpy.cli.main import main; main()", "completion", "bash"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=90,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_what_a_command_printed_before_its_error_comes_out(tmp_path: Path) -> None:
    subnet_file = tmp_path / "subnet.env"
    subnet_file.write_text(
        "FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    words = ("docker", "status", "-o", "json", f"--subnet-file={subnet_file}", f"--run-dir={tmp_path}")
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from flanpy.cli.main import main; main()",
            *words,
            f"--docker-socket={tmp_path}/none",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert ended.returncode == 3, ended.stderr
    assert json.loads(ended.stdout)["wanted"]["mtu"] == 1450
    assert ended.stderr.count("\n") == 1
