"""Owns a relay in a cable: between a port of the switch and its bridge stands a program that hands frames on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.net import namespaces, topology, wire
from integration.net.child import Child
from integration.net.waiting import wait_until


@contextmanager
def spliced(
    switch: str, port: str, segment: int, directory: Path, form: str, *settings: str
) -> Iterator[None]:
    """Put a wire of that form (`net.wire`) between the port and the bridge of its segment."""
    inner, outer, bridge = f"{port}.in", f"{port}.out", topology.bridge_of(segment)
    relay = Child(f"relay of {port}", switch, log=directory / f"relay-{port}.log")
    namespaces.ip_batch(switch, [
        f"link add {inner} mtu 65535 type veth peer name {outer} mtu 65535",
        f"link set {port} nomaster",
        f"link set {inner} up",
        f"link set {outer} master {bridge} up",
    ])  # fmt: skip
    try:
        relay.start([sys.executable, "-I", "-S", str(Path(wire.__file__)), form, port, inner, *settings])
        wait_until(lambda: _relays(relay), f"{relay.name} runs", deadline=10)
        yield
    finally:
        relay.kill()
        namespaces.ip_batch(switch, [f"link del {inner}", f"link set {port} master {bridge}"])


def _relays(relay: Child) -> bool:
    if not relay.running:
        raise namespaces.LabError(f"{relay.name} ended: {relay.log_tail()}")
    return "relaying" in relay.log_text()
