"""The entry point of flanpyctl: parse, import the one command that was asked for, run it, turn errors into exit codes.

The only place of the CLI that exits. A command is a function of the parsed arguments and this host's `Host`; it
prints its result and returns an `Exit`, or raises a `FlanpyError` that becomes one line on standard error.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from flanpy import streams
from flanpy.cli.base.exits import Exit, code_of
from flanpy.cli.tree import Front, build
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import MALFORMED, ControlError, FlanpyError
from flanpy.printable import on_one_line

if TYPE_CHECKING:
    from argparse import Namespace


_OTHER_NAMES: Final = {"peer": "peers", "subnet": "subnets"}


def main() -> NoReturn:
    """Run `sys.argv` and exit.

    A command lives for one answer: collecting its garbage and taking the interpreter down in good order would cost a
    tenth of its time (and grpc's threads some more), and do nobody good.
    """
    gc.disable()
    streams.prepare()
    code = run(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)


def run(argv: Sequence[str]) -> int:
    """Run one command line; its exit code. Prints to standard output and error."""
    try:
        try:
            code = _run(argv)
        finally:
            sys.stdout.flush()  # also before an error: what a command printed by then is part of its answer
    except FlanpyError as error:
        print(f"flanpyctl: {_one_line(error)}", file=sys.stderr)
        return code_of(error)
    except BrokenPipeError:
        # The reader (head, less) has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells have it
    return code


def _run(argv: Sequence[str]) -> int:
    parser = build()
    try:
        arguments, unknown = parser.parse_known_args(_expanded(argv))
    except SystemExit as end:  # argparse has answered --help
        return int(end.code or 0)
    if unknown:
        _refuse(unknown[0], parser, arguments)
    if getattr(arguments, "version", False):
        return _call("config.version:show", arguments)
    if arguments.command is None:
        parser.print_help()
        return Exit.USAGE
    arguments.parser = parser  # for the completion script, which is made from it
    return _call(arguments.run, arguments)


def _expanded(argv: Sequence[str]) -> Sequence[str]:
    """Return the words with a command's other name as its own."""
    return [_OTHER_NAMES.get(argv[0], argv[0]), *argv[1:]] if argv else argv


def _refuse(word: str, parser: Front, arguments: Namespace) -> NoReturn:
    command = parser.commands().get(arguments.command or "", parser)
    flag = word.partition("=")[0]
    near = nearest(flag.removeprefix("--"), command.formats(), show="-o {}") if flag.startswith("--") else ""
    if not near and flag.startswith("-"):
        near = nearest(flag, {*command.flags(), *parser.flags()})
    command.error(f"{arguments.command or 'flanpyctl'} takes no {one_line(word)!r}{near}")


def _call(name: str, arguments: Namespace) -> int:
    from flanpy.cli.base.host import Host

    module, _, function = name.partition(":")
    command = getattr(import_module(f"flanpy.cli.{module}"), function)
    host = Host(arguments)
    try:
        return int(command(arguments, host))
    except MALFORMED as error:
        if not host.heard:
            raise
        raise ControlError(
            f"flanpyd's answer to {host.heard!r} has another shape than this flanpyctl knows"
            f" ({type(error).__name__}: {error}): do the versions match?"
        ) from error


def _one_line(error: FlanpyError) -> str:
    return on_one_line(" ".join(str(error).split()))
