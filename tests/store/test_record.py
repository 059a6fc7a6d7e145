"""The log lines of a session's record: one refusal that befalls all watches is one line."""

from __future__ import annotations

from structlog.testing import capture_logs

from flanpy.clock import SystemClock
from flanpy.errors import StoreDenied
from flanpy.store.record import StoreRecord

PREFIXES = ("/n/config", "/n/subnets/", "/n/networks/")


def test_p31_refusal_of_all_watches_in_an_outage_is_told_once_and_again_in_the_next() -> None:
    record = StoreRecord(SystemClock())
    for _ in range(2):
        with capture_logs() as logs:
            record.lost(StoreDenied("certificate expired"), "e1")
            for prefix in PREFIXES:
                record.refused(prefix, "certificate expired")
            record.refused(PREFIXES[0], "certificate does not fit its key")
            record.answered("range", "e1", 0.001)
        told = [line["error"] for line in logs if line["event"] == "watch_refused"]
        assert told == ["certificate expired", "certificate does not fit its key"]


def test_p31_refusal_by_an_etcd_that_answers_others_is_told_for_each_prefix() -> None:
    record = StoreRecord(SystemClock())
    record.answered("range", "e1", 0.001)
    with capture_logs() as logs:
        for prefix in PREFIXES:
            record.refused(prefix, "permission denied")
    assert [line["prefix"] for line in logs] == list(PREFIXES)
