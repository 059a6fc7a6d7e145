"""The form of the help, the same on every Python.

Owns what releases of argparse differ in: up to 3.12 it repeats an option's value behind each of its names, from 3.14
on it colours. Must not know a command.
"""

from __future__ import annotations

import argparse
import textwrap


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Writes an option's value once, as 3.13 does, and no colours."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fill paragraphs to the width; lines that are set in, as examples are, stay as they are."""
        return "\n\n".join(_filled(part, width, indent) for part in text.split("\n\n"))

    def _set_color(self, *_: object, **__: object) -> None:
        """Keep to plain text, which `Parser` makes the usage line of. Only 3.14 and later call this."""
        super()._set_color(False)  # type: ignore[misc]


def _filled(paragraph: str, width: int, indent: str) -> str:
    lines = paragraph.splitlines()
    if any(line.startswith(" ") for line in lines):
        return "\n".join(indent + line for line in lines)
    return textwrap.fill(" ".join(lines), width, initial_indent=indent, subsequent_indent=indent)
