"""The page of events: what `flanpyctl events` tells of."""

from __future__ import annotations

from docs.generate import markdown
from docs.generate.source import members
from flanpy.model.event import EventKind

_LEAD = """\
The daemon remembers what happened to this host's overlay, the newest 500; many alike are one with a count. `flanpyctl events`
prints them, `--follow` goes on, the status page shows them on a time line. An event has a `number` that grows, the time `at`, a
`kind`, `what` it is about, `why`, and a `count`.
"""


def page() -> str:
    told = members("flanpy/model/event.py", "EventKind")
    rows = [(markdown.code(kind.value), markdown.plain(told[kind.name])) for kind in EventKind]
    return markdown.page("Events", _LEAD.strip(), markdown.table(("kind", "tells that"), rows))
