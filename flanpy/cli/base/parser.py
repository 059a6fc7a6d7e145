"""The parser of flanpyctl, and the levels of its commands.

Owns what all commands share: the settings they accept, the form of their help, `--output` and `--force`. Must not name
a command.
"""

from __future__ import annotations

import argparse
from argparse import SUPPRESS, ArgumentParser
from typing import Any, NoReturn

from flanpy.cli.base.exits import MEANINGS
from flanpy.cli.base.help_format import HelpFormatter
from flanpy.cli.base.options import DOCKER_OPTIONS, ETCD_OPTIONS, HOST_OPTIONS, OPTIONS
from flanpy.config.arguments import add_arguments
from flanpy.errors import UsageError


class Parser(ArgumentParser):
    """Raises UsageError instead of exiting, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")

    def _get_formatter(self) -> argparse.HelpFormatter:
        return HelpFormatter(self.prog)

    def format_help(self) -> str:
        """The usage line tells what is the command's own; the settings, the same everywhere, are listed below it."""
        settings = {name.replace("-", "_") for name in (*OPTIONS, *DOCKER_OPTIONS)}
        formatter = self._get_formatter()
        formatter.add_usage(None, [one for one in self._actions if one.dest not in settings], [])
        self.usage = formatter.format_help().removeprefix("usage: ").strip() + " [SETTING...]"
        return super().format_help()


def add_options(parser: ArgumentParser) -> None:
    add_arguments(parser.add_argument_group("settings: etcd"), ETCD_OPTIONS)
    add_arguments(parser.add_argument_group("settings: this host"), HOST_OPTIONS)


class Tree:
    """Adds commands to one level."""

    def __init__(self, actions: Any) -> None:
        self._actions = actions

    def command(self, name: str, run: str, summary: str, examples: str = "", **more: Any) -> Parser:
        """A command that `run` (module:function under flanpy.cli) carries out."""
        parser: Parser = self._actions.add_parser(
            name,
            help=summary,
            description=more.pop("about", f"{summary[0].upper()}{summary[1:]}."),
            epilog=f"examples:\n{_indented(examples)}\n\n{MEANINGS}" if examples else MEANINGS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=SUPPRESS,
            allow_abbrev=False,
            **more,
        )
        parser.set_defaults(run=run)
        add_options(parser)
        return parser

    def under(self, parser: Parser, *, required: bool) -> Tree:
        """The level of commands below `parser`."""
        return Tree(
            parser.add_subparsers(title="commands", metavar="COMMAND", dest="subcommand", required=required)
        )


def _indented(lines: str) -> str:
    return "\n".join(f"  flanpyctl {line.strip()}" for line in lines.strip().splitlines())


def add_format(parser: Parser, *choices: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=choices,
        default=choices[0],
        help=f"form of the output (default {choices[0]})",
    )


def add_force(parser: Parser, help_text: str) -> None:
    parser.add_argument("--force", action="store_true", default=False, help=help_text)
