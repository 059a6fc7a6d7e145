"""Owns the slow way to etcd: between each member and the switch stands a relay that keeps its clients' frames back.

Only frames of etcd's client port are slow: with a slow port among members there would be no leader, which is another
fault. Neither handshakes nor acknowledgements are spared, as they would be by a relay of connections.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from integration.etcd.cluster import CLIENT_PORT
from integration.faults.fault import Stage
from integration.net import delay as etcd_delay
from integration.net import namespaces, topology
from integration.net.child import Child
from integration.net.waiting import wait_until


@contextmanager
def slow_cables(lab: Stage, *, milliseconds: float) -> Iterator[None]:
    """Each frame between clients and etcd takes so much longer, both ways."""
    with ExitStack() as stack:
        for member in lab.etcd.members:
            stack.enter_context(_slow_cable(lab, member.name, milliseconds))
        yield


@contextmanager
def _slow_cable(lab: Stage, port: str, milliseconds: float) -> Iterator[None]:
    switch = lab.switch
    inner, outer, bridge = f"{port}.in", f"{port}.out", topology.bridge_of(1)
    relay = Child(f"relay of {port}", switch, log=lab.directory / f"relay-{port}.log")
    namespaces.ip_batch(switch, [
        f"link add {inner} mtu 65535 type veth peer name {outer} mtu 65535",
        f"link set {port} nomaster",
        f"link set {inner} up",
        f"link set {outer} master {bridge} up",
    ])  # fmt: skip
    try:
        script = str(Path(etcd_delay.__file__))
        relay.start([sys.executable, "-I", "-S", script, port, inner, str(CLIENT_PORT), f"{milliseconds:g}"])
        wait_until(lambda: _relays(relay), f"{relay.name} runs", deadline=10)
        yield
    finally:
        relay.kill()
        namespaces.ip_batch(switch, [f"link del {inner}", f"link set {port} master {bridge}"])


def _relays(relay: Child) -> bool:
    if not relay.running:
        raise namespaces.LabError(f"{relay.name} ended: {relay.log_tail()}")
    return "relaying" in relay.log_text()
