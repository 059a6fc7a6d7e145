"""Texts made from the table of options: the help for the terminal. The reference pages take their words from here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from flanpy import __version__
from flanpy.config.flags import read_flags
from flanpy.config.option import DEFAULTS, Option
from flanpy.config.options import GROUPS, OPTIONS

HEAD: Final = """\
usage: flanpyd [--OPTION[=VALUE] ...]

Gives this host a subnet of the overlay network and connects it with the other hosts.
Stays in the foreground. Options may also be set in the environment (FLANPYD_ETCD_PREFIX, or flannel's
FLANNELD_ETCD_PREFIX) and in /etc/flanpy/flanpyd.toml (etcd-prefix = "..."); a flag wins over the environment,
that over the file. One dash will do for two. (R) takes effect on SIGHUP.
"""
TAIL: Final = """\

Other:
  --help                   print this and exit
  --version                print the version and exit

Examples:
  flanpyd --etcd-endpoints=http://10.0.0.1:2379,http://10.0.0.2:2379 --iface=eth1
  FLANPYD_NODE_ID=h1 FLANPYD_STATE_DIR=/tmp/h1 FLANPYD_RUN_DIR=/tmp/h1 flanpyd --log-level=debug

Exit status: 0 stopped by a signal, 2 usage, 78 configuration, 1 anything else.
"""
_COLUMN: Final = 27
_WIDTH: Final = 100


def answer(argv: Sequence[str]) -> str | None:
    """The text that `--help` or `--version` asks for, to be printed before an exit with 0; None if neither is there."""
    match read_flags(argv).asks:
        case "help":
            return help_text()
        case "version":
            return f"flanpyd {__version__}\n"
        case _:
            return None


def help_text() -> str:
    """Return the text that `flanpyd --help` prints."""
    return HEAD + "".join(_sections()) + TAIL


def _sections() -> Iterator[str]:
    for group, title in GROUPS.items():
        yield f"\n{title}:\n"
        yield from (_entry(option) for option in OPTIONS if option.group == group)


def _entry(option: Option) -> str:
    default = _default(option)
    bare = option.kind.switch and not option.kind.choices
    flag = f"  --{option.name}" if bare else f"  --{option.name}={option.kind.metavar}"
    meaning = (
        option.help + (f" (default {default})" if default else "") + (" (R)" if option.reloadable else "")
    )
    lines = textwrap.wrap(meaning, _WIDTH - _COLUMN, break_on_hyphens=False)
    if len(flag) < _COLUMN - 1:
        return f"{flag:<{_COLUMN}}{lines[0]}\n" + _indented(lines[1:])
    return f"{flag}\n" + _indented(lines)


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"{'':{_COLUMN}}{line}\n" for line in lines)


def _default(option: Option) -> str:
    if option.name == "config":
        return "/etc/flanpy/flanpyd.toml"
    return option.text(DEFAULTS)
