"""The parts of the benchmark, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import cast

from bench.figures import Figure
from bench.run import Part, Run

TITLES: Mapping[str, str] = {
    "kernel": "Programming peers into an empty kernel",
    "readback": "Reading 10,000 peers back from the kernel",
    "passes": "A reconcile pass, without the kernel",
    "latency": "A lease put in etcd, to its peer in the kernel",
    "burst": "1,000 leases put at once",
    "idle": "Idling",
    "start": "Starting",
    "memory": "Memory",
    "scrape": "A scrape of the metrics",
    "probes": "Probing peers",
    "ctl": "The command line",
    "crowd": "50 daemons started at one instant",
    "store": "The embedded store, against etcd 3.5",
    "path": "Traffic between containers on two hosts",
    "filter": "What packet filter rules cost",
    "udp-tcp": "udp: TCP, against kernel VXLAN and against one packet at a time",
    "udp-packets": "udp: 64-byte datagrams, against the same",
    "udp-ping": "udp: round trips, against the same",
    "udp-peers": "udp: TCP among 1,002 hosts",
    "hostgw": "host-gw, against the bare route",
    "cloud": "aws-vpc, against no overlay",
    "named": "Named networks and names, between containers of two engines",
    "names": "Names of 1,000 hosts with 50 containers each, in etcd",
    "modes": "Docker's network modes and the overlay's backends, against --network host",
}
"""What each block of rows is called, by the first word of their ids."""

NAMES: Mapping[str, str] = {
    "kernel": "kernel",
    "readback": "readback",
    "passes": "passes",
    "latency": "latency",
    "idle": "idle",
    "start": "startup",
    "memory": "memory",
    "scrape": "scrape",
    "probes": "probes",
    "ctl": "ctl",
    "crowd": "crowd",
    "store": "store",
    "path": "path",
    "filter": "filter_cost",
    "udp-tcp": "udp_tcp",
    "udp-packets": "udp_packets",
    "udp-ping": "udp_ping",
    "udp-peers": "udp_peers",
    "hostgw": "host_gw",
    "cloud": "cloud",
    "named": "named",
    "names": "names",
    "modes": "modes",
}
"""The parts one can ask for, and their modules; `latency` gives the rows of `burst`, too."""


def measure(name: str, run: Run) -> Iterable[Figure]:
    """Run one part. Its module is imported here, so that one that cannot be does not keep the others from running."""
    part = cast(Part, import_module(f"bench.{NAMES[name]}").measure)
    return part(run)
