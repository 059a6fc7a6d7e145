"""The probe results of one host about another, read from the control socket, and a peer that runs no flanpyd."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from flanpy.cli.base.control import Control
from flanpy.errors import ControlError
from integration.etcd.peers import Peer, write_peers
from integration.lab import ETCD_PREFIX, Host, Lab, LabError
from integration.net.waiting import wait_until
from tests.lab.overlay import leases

DEADLINE_S = 15.0
"""For a verdict: some rounds. It is multiplied by the lab's patience."""

FAST = "--probe-interval=500ms"


def peers(host: Host) -> dict[str, dict[str, Any]]:
    """`/v1/peers` by node id, or by subnet for peers that have none; nothing while nobody answers."""
    with contextlib.suppress(ControlError):
        rows = Control(host.daemon.run_dir).get("peers")["peers"]
        return {row["node_id"] or row["subnet"]: row for row in rows}
    return {}


def wait_for(host: Host, peer: str, **wanted: object) -> dict[str, Any]:
    """Wait until the host says all that of the peer, and return its row."""
    row: dict[str, Any] = {}

    def says() -> bool:
        row.clear()
        row.update(peers(host).get(peer, {}))
        return all(row.get(name) == value for name, value in wanted.items()) and bool(row)

    try:
        wait_until(says, f"{host.name} about {peer}: {wanted}", deadline=DEADLINE_S, poll=0.1)
    except LabError as error:
        raise AssertionError(f"{error}; it says {row}") from None
    return row


def wait_whole(*hosts: Host) -> None:
    """Wait until each reaches each, with packets of full size."""
    for host in hosts:
        for other in hosts:
            if other is not host:
                wait_for(host, other.name, reach="reachable", trouble="")
                wait_until(
                    lambda host=host, other=other: peers(host).get(other.name, {}).get("rtt_ms") is not None,  # type: ignore[misc]
                    f"{host.name} has measured {other.name}",
                    deadline=DEADLINE_S,
                    poll=0.1,
                )


def condition(host: Host, name: str) -> dict[str, Any]:
    """Return one condition as `/v1/status` has it."""
    with contextlib.suppress(ControlError):
        found = Control(host.daemon.run_dir).get("status")["conditions"]
        return next((row for row in found if row["type"] == name), {})
    return {}


def plain_peer(lab: Lab, host: Host) -> str:
    """Make the host a member as flannel would, by hand and with iproute2 alone; returns its subnet."""
    subnet, mac = "10.50.250.0/24", "0a:00:00:00:00:fa"
    host.ip(
        f"link add flannel.1 address {mac} mtu 1450 type vxlan id 1 dev eth0"
        f" local {host.address} dstport 8472 nolearning",
        "addr add 10.50.250.0/32 dev flannel.1",
        "link set flannel.1 up",
    )
    for peer in leases(lab).values():
        host.ip(
            f"neigh replace {peer.vtep} lladdr {peer.mac} dev flannel.1 nud permanent",
            f"route replace {peer.subnet} via {peer.vtep} dev flannel.1 onlink",
        )
        host.run(
            "bridge",
            "fdb",
            "replace",
            peer.mac,
            "dev",
            "flannel.1",
            "dst",
            peer.public_ip,
            "self",
            "permanent",
        )
    write_peers(lab.etcd.api, [Peer(IPv4Network(subnet), IPv4Address(host.address), mac)], prefix=ETCD_PREFIX)
    return subnet
