"""The page of events: what `flanpyctl events` tells of."""

from __future__ import annotations

from docs.generate import markdown
from docs.generate.source import members
from flanpy.model.event import EventKind

_LEAD = """\
The daemon remembers what happened to this host's overlay in the last 24 hours, at most 500 rows, also before its last start: they
are in `events.json` in `--state-dir`. `flanpyctl events` prints them, `--since 2h` and `--peer web-2` choose, `--follow` goes on; the
status page shows them on a time line.

Many alike are one row with a `count`. What lasts (a start, a bad condition, a peer out of reach) is one row for its beginning and its
end; what comes back within 15 minutes is the same row, with its `times`. A row has the time of the first and of the last news
(`first_at`, `at`), a sentence for people (`text`), whether it `lasts`, when it was over (`ended_at`) and what it lasted in all
(`lasted_s`). A row with news has a new `number`, so a program that follows sees it again. After a restart the numbers go on, with a
gap, as long as the `epoch` is the same.
"""


def page() -> str:
    told = members("flanpy/model/event.py", "EventKind")
    rows = [(markdown.code(kind.value), markdown.plain(told[kind.name])) for kind in EventKind]
    return markdown.page("Events", _LEAD.strip(), markdown.table(("kind", "tells that"), rows))
