"""Metrics of the overlay's devices: what the kernel counted on each, read when asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.kernel.link_counters import read_counters
from flanpy.model.objects import OwnLink, VxlanLink
from flanpy.plan.offload import checksum_offload
from flanpy.status.inputs import Inputs
from flanpy.status.metrics.families import counter, gauge, gauges


def devices(inputs: Inputs) -> Iterator[Metric]:
    """Nothing before a device stands; a device that is gone for now is left out."""
    desired = inputs.last.decision.desired if inputs.last else None
    own = {obj.name: obj for obj in (desired or {}).values() if isinstance(obj, OwnLink)}
    found = read_counters(own)
    for direction, name in (("received", "receive"), ("sent", "transmit")):
        for unit in ("bytes", "packets", "errors", "dropped"):
            yield counter(
                f"flanpy_device_{name}_{unit}",
                f"What the overlay's device {direction}: {unit}.",
                ("device",),
                [((link,), float(getattr(getattr(found[link], direction), unit))) for link in found],
            )
    mtus = [((link,), float(own[link].mtu)) for link in found if own[link].mtu]
    yield gauges("flanpy_device_mtu_bytes", "MTU that the overlay's device should have.", ("device",), mtus)
    yield from _offload(inputs, [link for link in found if isinstance(own[link], VxlanLink)])


def _offload(inputs: Inputs, links: list[str]) -> Iterator[Metric]:
    """Yield the gauges of checksum offload to the network card, and of peers that found it wrong."""
    if inputs.last is None or not links:
        return
    decided = checksum_offload(inputs.last.world)
    yield gauges(
        "flanpy_checksum_offload",
        "1 if checksums of the VXLAN device's packets are left to the network card; reason is ChecksumOffload's.",
        ("device", "reason"),
        (((link, decided.reason.value), float(decided.on)) for link in links),
    )
    corrupted = len(decided.corruption.peers) if decided.corruption is not None else 0
    yield gauge(
        "flanpy_checksum_corrupted_peers",
        "Peers that found packets corrupted whose checksum was left to this host's network card.",
        corrupted,
    )
