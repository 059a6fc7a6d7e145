"""The result of a stream that ran through a fault."""

from __future__ import annotations

from integration.lab import Stream


def gap_of_whole(stream: Stream) -> float:
    """End it; every byte has to have come. The longest gap in milliseconds."""
    report = stream.stop()
    assert report.whole, report
    return report.longest_gap_ms
