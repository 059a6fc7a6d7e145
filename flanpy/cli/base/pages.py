"""The pages of `flanpyctl help`: the commands by what is asked, the settings, the exit codes.

Owns the grouping; a test holds that every command is in one group.
"""

from __future__ import annotations

from typing import Final

GROUPS: Final = (
    ("Is it well?", ("status", "doctor", "top", "events")),
    ("Who reaches whom?", ("peers", "ping", "trace")),
    ("This host", ("host", "docker", "config", "reload", "drain", "diff", "cleanup")),
    ("The whole network", ("cluster", "network", "networks", "names", "subnets", "store")),
    ("Support", ("diag", "version", "completion", "help")),
)

SETTINGS_LINE: Final = "settings of etcd and of this host: flanpyctl help settings"

_USAGE: Final = "Usage: flanpyctl COMMAND [OPTIONS]            Start here: flanpyctl status"
_FOOT: Final = "flanpyctl help COMMAND - help settings - help exit-codes"
_LEAD: Final = """\
Settings that every command takes, before or after it. On a host that runs flanpyd none is needed: flanpyctl reads the
same environment and file, and what is set nowhere else it takes from the running daemon.
"""


def front(summaries: dict[str, str]) -> str:
    """Return the first page: every command in its group, a line each."""
    width = max(map(len, summaries), default=0)
    lines = [_USAGE]
    for title, names in GROUPS:
        lines += ["", title, *(f"  {name:<{width}}  {summaries[name]}".rstrip() for name in names)]
    return "\n".join([*lines, "", _FOOT, ""])


def settings(groups: str) -> str:
    """Return the page of the settings; `groups` is their text as the parser lists it."""
    return f"{_LEAD}\n{groups.strip()}\n"
