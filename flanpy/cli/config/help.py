"""`flanpyctl help`: the front page, a command's own help, the settings, or the exit codes."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flanpy.cli.base.exits import MEANINGS, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.pages import settings
from flanpy.cli.base.parser import Parser
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def show(arguments: Namespace, _host: Host) -> Exit:
    """Print the page of a topic."""
    parser: Parser = arguments.parser
    match arguments.topic:
        case []:
            print(parser.format_help(), end="")
        case ["settings"]:
            print(settings(parser.settings_help()), end="")
        case ["exit-codes"]:
            print(MEANINGS)
        case words:
            print(_command(parser, words).format_help(), end="")
    return Exit.OK


def _command(parser: Parser, words: Sequence[str]) -> Parser:
    """Return the parser of a command, as `network init` names it."""
    for word in words:
        below = _below(parser)
        if word not in below:
            near = nearest(word, [*below, "settings", "exit-codes"])
            raise UsageError(f"no help on {one_line(word)!r}{near or ': see flanpyctl help'}")
        parser = below[word]
    return parser


def _below(parser: Parser) -> Mapping[str, Parser]:
    found = (one for one in parser._actions if isinstance(one, _SubParsersAction))  # noqa: SLF001
    return next((one.choices for one in found), {})
