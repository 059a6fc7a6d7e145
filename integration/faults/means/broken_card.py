"""Owns a broken network card: it leaves inner checksums of VXLAN packets unmade. It is a relay on the host's cable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flanpy.kernel.ethtool import Ethtool
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net import namespaces, topology, unsummed
from integration.net.child import Child
from integration.net.waiting import wait_until

_VXLAN_PORT = 8472
_CUTS = ("tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-udp-segmentation", "tx-generic-segmentation")


@contextmanager
def broken_card(lab: Lab, host: Host) -> Iterator[None]:
    """Packets of this host whose checksum is left to the card go out without; those that have one are let be."""
    switch, port = lab.plan.switch, host.seat.port
    inner, outer, bridge = f"{port}.in", f"{port}.out", topology.bridge_of(host.seat.segment)
    relay = Child(f"card of {host.name}", switch, log=lab.directory / f"card-{host.name}.log")
    namespaces.in_namespace(host.namespace, lambda: _cut(enabled=False))
    namespaces.ip_batch(switch, [
        f"link add {inner} mtu 65535 type veth peer name {outer} mtu 65535",
        f"link set {port} nomaster",
        f"link set {inner} up",
        f"link set {outer} master {bridge} up",
    ])  # fmt: skip
    try:
        relay.start([sys.executable, "-I", "-S", str(Path(unsummed.__file__)), port, inner, str(_VXLAN_PORT)])
        wait_until(lambda: _relays(relay), f"{relay.name} runs", deadline=10)
        yield
    finally:
        relay.kill()
        namespaces.ip_batch(switch, [f"link del {inner}", f"link set {port} master {bridge}"])
        namespaces.in_namespace(host.namespace, lambda: _cut(enabled=True))


def _cut(*, enabled: bool) -> None:
    """Switch whether frames leave the host's link larger than its MTU: the relay cannot cut them."""
    ethtool = Ethtool()
    for feature in reversed(_CUTS) if enabled else _CUTS:
        ethtool.set("eth0", feature, enabled=enabled)
    ethtool.close()


def _relays(relay: Child) -> bool:
    if not relay.running:
        raise namespaces.LabError(f"{relay.name} ended: {relay.log_tail()}")
    return "relaying" in relay.log_text()
