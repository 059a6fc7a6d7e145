"""`flanpyctl completion`: scripts for bash, zsh and fish, made from the parser by shtab.

Peers are completed by asking the local daemon, which takes some 50 ms; etcd is never asked for a key that was pressed.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host

_PEERS = "flanpyctl peers -o name 2>/dev/null"


def show(arguments: Namespace, _host: Host) -> Exit:
    """Print the script."""
    import shtab

    parser: ArgumentParser = arguments.parser
    known = {
        "PATH": shtab.FILE,
        "FILE": shtab.FILE,
        "PEER": shtab.cmd(_PEERS),
        "SUBNET": shtab.cmd(f"echo own; {_PEERS}"),
    }
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in known and not action.choices:
            action.complete = known[action.metavar]  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return Exit.OK


def _actions(parser: ArgumentParser) -> Iterator[Action]:
    """Every argument of every command."""
    for action in parser._actions:  # noqa: SLF001, as shtab itself does
        yield action
        for below in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _actions(below)
