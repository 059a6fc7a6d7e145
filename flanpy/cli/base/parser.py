"""The parser of flanpyctl, and the levels of its commands.

Owns what all commands share: the settings they accept, the form of their help, `--output` and `--force`. Must not name
a command.
"""

from __future__ import annotations

import argparse
import shutil
from argparse import SUPPRESS, ArgumentParser
from typing import Any, Final, NoReturn

from flanpy.cli.base.exits import MEANINGS
from flanpy.cli.base.help_format import HelpFormatter
from flanpy.cli.base.options import DOCKER_OPTIONS, ETCD_OPTIONS, HOST_OPTIONS, OPTIONS
from flanpy.cli.base.pages import SETTINGS_LINE
from flanpy.config.arguments import add_arguments
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import UsageError

SETTINGS_TITLE: Final = "settings"
_MORE: Final = " [SETTING...]"
_SETTINGS: Final = frozenset(name.replace("-", "_") for name in (*OPTIONS, *DOCKER_OPTIONS))


class Parser(ArgumentParser):
    """Raises UsageError instead of exiting, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")

    def _get_formatter(self) -> argparse.HelpFormatter:
        return HelpFormatter(self.prog)

    def format_help(self) -> str:
        """Tell what is the command's own; the settings, the same everywhere, have a page of their own."""
        own = [one for one in self._actions if one.dest not in _SETTINGS]
        width = shutil.get_terminal_size().columns - len(_MORE) - 2
        formatter = HelpFormatter(self.prog, width=width)
        formatter.add_usage(None, own, [])
        self.usage = formatter.format_help().removeprefix("usage: ").strip() + _MORE
        all_groups = self._action_groups
        self._action_groups = [one for one in all_groups if not (one.title or "").startswith(SETTINGS_TITLE)]
        try:
            return super().format_help()
        finally:
            self._action_groups = all_groups

    def settings_help(self) -> str:
        """Return the text of the settings alone."""
        formatter = self._get_formatter()
        for group in self._action_groups:
            if (group.title or "").startswith(SETTINGS_TITLE):
                formatter.start_section(group.title)
                formatter.add_arguments(group._group_actions)  # noqa: SLF001, argparse has no other way
                formatter.end_section()
        return formatter.format_help()

    def flags(self) -> tuple[str, ...]:
        """Return every flag that this parser takes."""
        return tuple(flag for action in self._actions for flag in action.option_strings)

    def formats(self) -> tuple[str, ...]:
        """Return the forms of the output that this parser takes."""
        output = (action for action in self._actions if "--output" in action.option_strings)
        return tuple(str(choice) for action in output for choice in action.choices or ())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        words = [str(choice) for choice in action.choices]
        is_command = isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        what = "command" if is_command else (action.option_strings or [str(action.metavar or action.dest)])[0]
        near = nearest(str(value), words) or f": there are {', '.join(words)}"
        self.error(f"no {what} {one_line(str(value))!r}{near}")


def add_options(parser: ArgumentParser) -> None:
    add_arguments(parser.add_argument_group(f"{SETTINGS_TITLE}: etcd"), ETCD_OPTIONS)
    add_arguments(parser.add_argument_group(f"{SETTINGS_TITLE}: this host"), HOST_OPTIONS)


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
            epilog="\n\n".join(filter(None, (_examples(examples), SETTINGS_LINE, MEANINGS))),
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


def _examples(lines: str) -> str:
    found = [f"  flanpyctl {line.strip()}" for line in lines.strip().splitlines()]
    return "\n".join(["examples:", *found]) if found else ""


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
