"""The pages of `flanpyctl help`: the commands by what is asked, the settings, the exit codes.

Owns the grouping; a test holds that every command is in one group.
"""

from __future__ import annotations

from typing import Final

GROUPS: Final = (
    ("Is it well?", ("status", "doctor", "top", "events")),
    ("Which host reaches which?", ("peers", "ping", "trace")),
    (
        "This host",
        (
            "host",
            "docker",
            "attach",
            "detach",
            "link",
            "unlink",
            "config",
            "reload",
            "drain",
            "diff",
            "cleanup",
        ),
    ),
    ("The whole network", ("cluster", "network", "networks", "names", "keys", "subnets", "store")),
    ("Support", ("diag", "version", "completion", "help")),
)

_WITH: Final = {"detach": "attach", "unlink": "link"}
"""Commands that share the line of the one that they undo."""

SETTINGS_LINE: Final = "settings of etcd and of this host: flanpyctl help settings"

_USAGE: Final = "Usage: flanpyctl COMMAND [OPTIONS]            Start here: flanpyctl status"
_FOOT: Final = "flanpyctl help COMMAND - help settings - help exit-codes"
_LEAD: Final = """\
Settings that every command takes, before or after it. On a host that runs flanpyd none is needed: flanpyctl reads the
same environment and file, and what is set nowhere else it takes from the running daemon.
"""


def front(summaries: dict[str, str]) -> str:
    """Return the first page: every command in its group, a line each."""
    heads = {name: name for name in summaries if name not in _WITH}
    for other, name in _WITH.items():
        heads[name] += f", {other}"
    width = max(map(len, heads.values()), default=0)
    lines = [_USAGE]
    for title, names in GROUPS:
        rows = (f"  {heads[name]:<{width}}  {summaries[name]}" for name in names if name in heads)
        lines += ["", title, *map(str.rstrip, rows)]
    return "\n".join([*lines, "", _FOOT, ""])


def settings(groups: str) -> str:
    """Return the page of the settings; `groups` is their text as the parser lists it."""
    return f"{_LEAD}\n{groups.strip()}\n"
