"""`python -m tests.monitoring.record [DIRECTORY]`: write the samples behind the reference of metrics and HTTP.

docs/generate imports nothing of the tests, so that the pages build from the product alone; the samples need a state in
which every family has a series and every field a value, and the tests have one.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from flanpy.log import configure
from flanpy.model.event import Event, EventKind, Spell
from flanpy.status import report
from tests.monitoring import everything
from tests.status.passes import NOW

SAMPLES = Path(__file__).parents[2] / "docs/generate/samples"

_COUNTED_HERE = re.compile(r"(?m)^(process_\w+|flanpy_device_\w+{.*}) \S+$")
"""A series of the process that records, or of the loopback device: each recording has others."""

_EVENTS = (
    Event(
        41,
        NOW + 400,
        EventKind.PEER_UNREACHABLE,
        "node-7",
        "PeerDown: silent beneath, too",
        2,
        (),
        2,
        NOW,
        Spell(NOW + 380, NOW + 400, 131.0),
        ("PeerDown",),
        ("node-7", "10.50.7.0-24"),
    ),
    Event(42, NOW + 460, EventKind.REPAIRED, "route", "ip route replace 10.50.7.0/24", 3, first_at=NOW + 460),
)
_HEAD = report.DaemonHead("0.1.0", "node-0", 4711, NOW)


def samples() -> dict[str, str]:
    """Return the texts by file name: a metrics page, and an answer of each document by its path."""
    snapshot = everything.snapshot()
    answers = {
        "/v1/status": report.plain(report.status(snapshot, now=NOW, head=_HEAD)),
        "/v1/subnets": report.plain(report.subnets(snapshot, {})),
        "/v1/peers": report.plain(report.peers(snapshot)),
        "/v1/events": report.plain(report.events(_EVENTS, epoch="1700000000.000000")),
    }
    with tempfile.TemporaryDirectory() as directory:
        page = _COUNTED_HERE.sub(r"\1 0.0", everything.page(Path(directory)))
    return {"metrics.prom": page, "answers.json": json.dumps(answers, indent=2) + "\n"}


def main(directory: Path = SAMPLES) -> None:
    """Write the samples."""
    configure(level="error")  # a status is judged by the daemon's own code, which logs what changed
    directory.mkdir(exist_ok=True)
    for name, text in samples().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
