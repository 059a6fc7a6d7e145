"""Documents of a daemon whose host reaches one peer of three, for the commands that look closely."""

from __future__ import annotations

from typing import Any

NOW = 1_800_000_000.0


def peer(**more: Any) -> dict[str, Any]:
    """A row of `/v1/peers`, well unless told otherwise."""
    return {
        "node_id": "node-2",
        "host": "",
        "subnet": "10.50.2.0/24",
        "subnet6": None,
        "public_ip": "192.0.2.12",
        "way": "tunnel",
        "state": "programmed",
        "reason": "",
        "reach": "reachable",
        "trouble": "",
        "evidence": "",
        "cure": "",
        "rtt_ms": 0.412,
        "loss": 0.0,
        "underlay_rtt_ms": 0.2,
        "underlay_loss": 0.0,
        "path_mtu": 1450,
        "path_mtu_wanted": 1450,
        "changed_at": NOW - 3700,
        "wireguard": [],
        **more,
    }


BLOCKED = peer(
    node_id="node-3",
    subnet="10.50.3.0/24",
    subnet6="fd50:1:0:3::/64",
    public_ip="192.0.2.13",
    reach="unreachable",
    trouble="PortBlocked",
    evidence="192.0.2.13 answers pings beneath, nothing over the overlay",
    cure="open UDP 8472 between the hosts",
    rtt_ms=None,
    loss=1.0,
    path_mtu=0,
    path_mtu_wanted=0,
    changed_at=NOW - 5,
)
NARROW = peer(
    node_id="",
    subnet="10.50.4.0/24",
    public_ip="192.0.2.14",
    reach="lossy",
    trouble="MTUBlackHole",
    evidence="1350 of 1450 bytes pass",
    rtt_ms=31.7,
    loss=0.004,
    path_mtu=1350,
    changed_at=None,
)
PEERS = {"peers": [peer(), BLOCKED, NARROW]}


def pair(sender: str, to: str, **more: Any) -> dict[str, Any]:
    """A row of `/v1/mesh`."""
    row = {
        "from": sender,
        "to": to,
        "reach": "reachable",
        "rtt_ms": 0.4,
        "loss": 0.0,
        "trouble": "",
        "at": NOW,
    }
    return {**row, **more}


MESH = {
    "nodes": ["node-1", "node-2", "node-3"],
    "rows": [
        pair("node-1", "node-2"),
        pair("node-1", "node-3", reach="unreachable", rtt_ms=None, loss=1.0, trouble="PortBlocked"),
        pair("node-2", "node-1", rtt_ms=12.6),
        pair("node-2", "node-3", reach="lossy", loss=0.25),
    ],
}

EVENTS = {
    "events": [
        {
            "number": 1,
            "at": NOW,
            "kind": "peer_joined",
            "what": "node-2",
            "why": "192.0.2.12",
            "count": 1,
            "attributes": [],
            "times": 1,
        },
        {
            "number": 3,
            "at": NOW + 1,
            "kind": "repaired",
            "what": "route 10.50.2.0/24",
            "why": "was gone",
            "count": 2,
            "attributes": ["whole"],
            "times": 1,
        },
        {
            "number": 4,
            "at": NOW + 9,
            "kind": "phase_changed",
            "what": "READY",
            "why": "",
            "count": 1,
            "attributes": [],
            "times": 1,
        },
    ],
}
