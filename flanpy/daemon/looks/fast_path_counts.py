"""The packets of each peer that went past this host's stack, and those that went through it, as metric families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from flanpy.model.fast_path import FastCounts

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def fast_path_counts(seen: Mapping[IPv4Address, FastCounts]) -> Iterator[Metric]:
    """Nothing where the fast path is off: nobody counts there."""
    if not seen:
        return
    from flanpy.status.metrics.families import counter  # noqa: PLC0415, with the listeners

    rows = [
        ((str(peer), direction, path), pair)
        for peer, counts in seen.items()
        for direction, path, pair in (
            ("sent", "fast", counts.fast_out),
            ("received", "fast", counts.fast_in),
            ("sent", "slow", counts.slow_out),
            ("received", "slow", counts.slow_in),
        )
    ]
    yield counter(
        "flanpy_fast_path_packets",
        "Packets of containers by peer, past this host's stack (fast) or through it (slow); joined ones are one.",
        ("public_ip", "direction", "path"),
        [(labels, float(packets)) for labels, (packets, _) in rows],
    )
    yield counter(
        "flanpy_fast_path_bytes",
        "Bytes of the same packets, without what VXLAN adds.",
        ("public_ip", "direction", "path"),
        [(labels, float(size)) for labels, (_, size) in rows],
    )
