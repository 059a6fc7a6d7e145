"""Judges whether addresses of named networks are taken once."""

from __future__ import annotations

from flanpy.model.condition import Condition, ConditionType
from flanpy.model.networks.names import SharedAddress
from flanpy.model.reach import Reach
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good

_KIND = ConditionType.ADDRESSES_UNIQUE


def unique(inputs: Inputs, _now: float) -> Condition:
    """Judge whether containers of this host have their addresses for themselves.

    A host that answers no probe may have died with a container that runs elsewhere since: its names go by themselves.
    """
    silent = _silent_nodes(inputs)
    lines = tuple(
        _line(one) for one in inputs.shared if any(holder[0] not in silent for holder in one.holders[1:])
    )
    if not lines:
        return good(_KIND, "Unique", "each address of a named network is one container's")
    cure = "remove one of the two, and run it with another address (docker run --ip, --mac-address) or without one"
    more = f"; and {len(lines) - 1} more" if len(lines) > 1 else ""
    return bad(_KIND, "TakenTwice", lines[0] + more, cure, evidence=lines)


def _line(one: SharedAddress) -> str:
    holders = " and ".join(f"'{container}' on {host}" for _, host, container in one.holders)
    return f"network '{one.network}': {one.address} is the address of {holders}"


def _silent_nodes(inputs: Inputs) -> frozenset[str]:
    peers = inputs.reach.peers.values() if inputs.reach is not None else ()
    return frozenset(peer.node_id for peer in peers if peer.reach is Reach.UNREACHABLE)
