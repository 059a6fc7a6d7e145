"""`flanpyctl completion`: scripts for bash, zsh and fish, made from the parser by shtab."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator

from flanpy.cli.commands import build
from flanpy.cli.exits import Exit
from flanpy.cli.host import Host


def show(arguments: Namespace, _host: Host) -> Exit:
    """Print the script."""
    import shtab

    parser = build()
    for action in _actions(parser):
        if action.metavar in {"PATH", "FILE"}:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return Exit.OK


def _actions(parser: ArgumentParser) -> Iterator[Action]:
    """Every argument of every command."""
    for action in parser._actions:  # noqa: SLF001, as shtab itself does
        yield action
        for below in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _actions(below)
