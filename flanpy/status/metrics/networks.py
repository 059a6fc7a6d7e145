"""Metrics of named networks: how many, who is on them, and how many addresses this host's slice has left."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.status.inputs import Inputs
from flanpy.status.judge.networks import addresses, free_addresses
from flanpy.status.metrics.families import gauge, gauges


def networks(inputs: Inputs) -> Iterator[Metric]:
    """Nothing before the first pass."""
    if inputs.last is None:
        return
    joined = inputs.last.world.named.networks
    yield gauge("flanpy_networks", "Named networks that this host is on.", float(len(joined)))
    label = ("network",)
    members = (((one.network.name,), float(len(one.members))) for one in joined)
    yield gauges("flanpy_network_members", "Other hosts on a named network.", label, members)
    sizes = (((one.network.name,), float(addresses(one))) for one in joined)
    text = "Addresses of this host's slice that containers can have."
    yield gauges("flanpy_network_addresses", text, label, sizes)
    free = (((one.network.name,), float(free_addresses(inputs, one))) for one in joined)
    text = "Addresses of this host's slice that no container has now."
    yield gauges("flanpy_network_addresses_free", text, label, free)
