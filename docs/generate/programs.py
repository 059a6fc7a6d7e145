"""The arguments of the two programs, read from their own tables: flanpyctl's parsers and flanpyd's options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass

from flanpy.cli.base.exits import MEANINGS, Exit
from flanpy.cli.tree import build
from flanpy.config.option import DEFAULTS, Option
from flanpy.config.options import GROUPS, OPTIONS
from flanpy.config.usage import HEAD, TAIL
from flanpy.storeserver.settings import parser as store_parser


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a command takes: `-o, --output {table,json}` or `FILE`."""

    words: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command with those below it; `path` is `flanpyctl network init`."""

    path: str
    summary: str
    about: str
    usage: str
    arguments: tuple[Argument, ...]
    examples: str
    below: tuple[Command, ...]

    @property
    def name(self) -> str:
        """Return the last word of the command."""
        return self.path.rpartition(" ")[2]

    @property
    def page(self) -> str:
        """The name of its manual page."""
        return self.path.replace(" ", "-")

    def all(self) -> Iterator[Command]:
        """Yield the command itself, then all below it."""
        yield self
        for command in self.below:
            yield from command.all()


def flanpyctl() -> Command:
    """The program, as a command with all of its commands."""
    parser = build()
    return _command(parser, "flanpyctl", parser.description or "")


def flanpy_store() -> Command:
    """The embedded store's program."""
    parser = store_parser()
    return _command(parser, "flanpy-store", parser.description or "")


def settings() -> tuple[tuple[str, tuple[Option, ...]], ...]:
    """flanpyd's options by the title of their group."""
    return tuple(
        (title, tuple(option for option in OPTIONS if option.group == group))
        for group, title in GROUPS.items()
    )


def default_of(option: Option) -> str:
    """Return the default as an operator would write it."""
    return "/etc/flanpy/flanpyd.toml" if option.name == "config" else option.text(DEFAULTS)


def exit_codes() -> tuple[tuple[int, str], ...]:
    """flanpyctl's exit codes and what they mean, as its help has them."""
    found = re.findall(r"(?<!\S)(\d)\s(\S.*?)(?=\s{2,}|\n|$)", MEANINGS)
    codes = tuple((int(number), meaning) for number, meaning in found)
    if [number for number, _ in codes] != [int(each) for each in Exit]:
        raise SystemExit("flanpy/cli/base/exits.py: MEANINGS and Exit do not name the same codes")
    return codes


def daemon_about() -> str:
    """Return the text of flanpyd's help before its options, without the usage line."""
    return HEAD.partition("\n\n")[2].strip()


def daemon_exit_codes() -> str:
    """The line of flanpyd's help about its exit status."""
    return TAIL.rpartition("Exit status: ")[2].strip()


def daemon_examples() -> str:
    """The examples of flanpyd's help."""
    return _dedented(TAIL.partition("Examples:\n")[2].partition("\n\n")[0])


def _command(parser: argparse.ArgumentParser, path: str, summary: str) -> Command:
    parser.prog = path
    return Command(
        path=path,
        summary=summary,
        about=" ".join((parser.description or summary).split()),
        usage=_usage(parser),
        arguments=tuple(_arguments(parser)),
        examples=_examples(parser.epilog or ""),
        below=tuple(_command(below, f"{path} {name}", text) for name, text, below in _below(parser)),
    )


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001, argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            texts = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001
            for name, below in action.choices.items():
                yield name, texts[name], below


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    shared = {id(action) for group in _settings_groups(parser) for action in group._group_actions}  # noqa: SLF001
    for action in parser._actions:  # noqa: SLF001
        hidden = isinstance(action, argparse._HelpAction | argparse._SubParsersAction)  # noqa: SLF001
        if not hidden and id(action) not in shared:
            yield Argument(_words(action), _meaning(parser, action))


def _settings_groups(parser: argparse.ArgumentParser) -> list[argparse._ArgumentGroup]:
    """The settings, which every command takes alike."""
    return [
        group
        for group in parser._action_groups  # noqa: SLF001
        if (group.title or "").startswith("settings")
    ]


def _words(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + (f" {value}" if action.nargs != 0 else "")


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return f"{{{','.join(map(str, action.choices))}}}"
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return f"[{name}]" if action.nargs == "?" and not action.option_strings else name


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if not action.help:
        raise SystemExit(f"{parser.prog}: {_words(action)} has no help text: add it where it is declared")
    return action.help.replace("%%", "%")


def _usage(parser: argparse.ArgumentParser) -> str:
    parser.format_help()  # which makes the usage line
    return " ".join((parser.usage or "").replace("%(prog)s", parser.prog).split())


def _examples(epilog: str) -> str:
    return _dedented(epilog.partition("examples:\n")[2].partition("\n\n")[0])


def _dedented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
