"""Judges named networks: whether each that is defined for this host stands here, and has room for its packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flanpy.backend.vxlan import OVERHEAD
from flanpy.model.address import Family
from flanpy.model.condition import Condition, ConditionType
from flanpy.model.networks.view import Joined
from flanpy.model.world import World
from flanpy.plan.ownership import is_of_named_network
from flanpy.printable import plural
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unmeasured

_KIND = ConditionType.NETWORKS_READY
_MAKE = "flanpyctl docker networks; systemctl enable --now flanpy-docker-networks.path does so by itself"

_AGAIN = "free what Docker names, then: flanpyctl docker networks"


def ready(inputs: Inputs, _now: float) -> Condition:
    """Judge the named networks; names the first fault: kept out, without a slice, not made, too wide."""
    if inputs.last is None:
        return unmeasured(_KIND, "NotPlanned", "nothing was planned yet")
    if inputs.kept_out.refused:
        cure = "choose another range for it (flanpyctl networks rm, create), or take this host off: networks leave"
        return bad(_KIND, "KeptOut", _first(inputs.kept_out.refused), cure)
    if inputs.kept_out.without:
        cure = "flanpyctl networks forget HOST frees the slices of a host that is gone; else a longer --slice-size"
        return bad(_KIND, "NoSlice", _first(inputs.kept_out.without), cure)
    world = inputs.last.world
    networks = world.named.networks
    if not networks:
        return good(_KIND, "NotAsked", "this host is on no named network")
    if refused := _refused(inputs.last):
        return bad(_KIND, "Refused", refused, "see the log; another program may hold the name or the VNI")
    if narrow := tuple(_narrow(world, networks)):
        cure = "give the underlay more room, or make the network again with a smaller --mtu"
        return bad(_KIND, "TooNarrow", narrow[0], cure, evidence=narrow)
    return _in_docker(inputs, world, networks)


def _in_docker(inputs: Inputs, world: World, networks: tuple[Joined, ...]) -> Condition:
    if found := {one.network.name: by_docker for one in networks if (by_docker := _by_docker(inputs, one))}:
        return bad(_KIND, "RefusedByDocker", _first(found), _AGAIN)
    missing = [one.network.name for one in networks if one.bridge not in world.facts.bridges]
    if missing and inputs.docker is not None and inputs.docker.found is not None:
        return bad(_KIND, "NotInDocker", f"Docker does not have {named(missing)}", _MAKE)
    if missing:
        return good(_KIND, "NoDocker", f"Docker does not run: {named(missing)} will be there when it does")
    return good(_KIND, "Ready", f"{plural(len(networks), 'named network')} of this host")


def _by_docker(inputs: Inputs, joined: Joined) -> str:
    """Return why Docker has not this network as it should be, "" if it has."""
    return inputs.kept_out.by_docker.get(joined.network.name, "")


def _first(reasons: Mapping[str, str]) -> str:
    name, reason = min(reasons.items())
    more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"network '{name}': {reason}{more}"


def _refused(last: Pass) -> str:
    """Return the first object of a named network that the kernel did not take, with its reason."""
    found = (one for one in last.failures if is_of_named_network(one.op.obj))
    return next((f"{one.op.obj.key[1]}: {one.error}" for one in found), "")


def _narrow(world: World, networks: tuple[Joined, ...]) -> Iterator[str]:
    underlay = world.facts.underlay
    if underlay is None:
        return
    room = underlay.mtu - OVERHEAD[Family.IPV4 if underlay.address is not None else Family.IPV6]
    for one in networks:
        if one.network.mtu > room:
            yield (
                f"network '{one.network.name}' has MTU {one.network.mtu}, and {underlay.link} has room for {room}:"
                " full packets are lost"
            )


def addresses(joined: Joined) -> int:
    """Return the number of addresses of this host's slice that containers can have."""
    return joined.network.room(joined.slice)


def free_addresses(inputs: Inputs, joined: Joined) -> int:
    """Count what is left of the slice; containers with an address of another host's slice (`--ip`) count, too."""
    return max(0, addresses(joined) - inputs.containers.get(joined.port, 0))
