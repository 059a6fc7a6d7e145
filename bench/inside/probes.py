"""Runs a prober among many peers, all on loopback, and says what its rounds cost, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from ipaddress import IPv4Address, IPv4Network
from random import Random

from flanpy.clock import SystemClock
from flanpy.model.address import Family
from flanpy.model.lease import SubnetKey
from flanpy.probe.diagnosis import LocalFaults
from flanpy.probe.prober import Prober
from flanpy.probe.target import Target
from flanpy.probe.tcp_probe import tcp_probe_at

FAST_S = 0.3
"""Seconds between rounds here: their work is the same."""


def target(number: int) -> Target:
    """A peer whose addresses are of loopback."""
    subnet = IPv4Network(((10 << 24) + (number << 8), 24))
    over, under = ((127 << 24) + (second << 16) + number for second in (1, 2))
    return Target(
        SubnetKey(subnet),
        f"n{number}",
        Family.IPV4,
        IPv4Address(over),
        IPv4Address(under),
        1450,
        "UDP port 8472",
    )


async def _rounds(count: int, rounds: int) -> dict[str, object]:
    targets = tuple(target(number + 1) for number in range(count))
    tracemalloc.start()
    prober = Prober(
        clock=SystemClock(),
        here="n0",
        interval=lambda: FAST_S,
        targets=lambda: targets,
        local_faults_of=lambda _: LocalFaults(),
        publish=lambda _: None,
        tcp_probe=tcp_probe_at(1, SystemClock()),
        dice=Random(1),
    )
    while len(prober.report.peers) < count:
        await prober.round()
    kib = tracemalloc.get_traced_memory()[0] / 1024
    tracemalloc.stop()
    packets, cpu = [], []
    for _ in range(rounds):
        sent, used = prober.report.packets_sent, time.process_time()
        await prober.round()
        cpu.append((time.process_time() - used) * 1000)
        packets.append(prober.report.packets_sent - sent)
    prober.close()
    return {"packets": packets, "cpu_ms": cpu, "kib": kib}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_rounds(int(sys.argv[1]), int(sys.argv[2])))))
