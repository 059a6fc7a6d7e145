"""Network mode: the one user-defined bridge network that carries our subnet, and the actions it needs.

Owns its options for every version of Docker. Pure. The network is recreated only if no container has it, as containers
keep the address and the MTU that they were started with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from flanpy.docker.facts import MTU_OPTION, OPTION, OWNER_LABEL, DockerFacts, DockerNetwork
from flanpy.docker.verdict import GATEWAY_MODES
from flanpy.docker.wanted import Wanted
from flanpy.model.bridge import BRIDGE, DOCKER_NETWORK


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a network is made of. `pools` are subnet and gateway, IPv4 first.

    `slices`: the part of each subnet that Docker gives out here; none: all of it. `kept_free` are addresses of each
    that Docker does not give out.
    """

    name: str
    pools: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...] = ((OWNER_LABEL, "1"),)
    slices: tuple[str, ...] = ()
    kept_free: tuple[tuple[str, ...], ...] = ()
    internal: bool = False


class NetworkStep(Enum):
    """The action to take. The value is what commands print."""

    KEEP = "keep"
    CREATE = "create"
    RECREATE = "recreate"
    REMOVE = "remove"
    HELD = "held"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """`differences` say in what the present network is wrong; `holders` name the containers that keep it."""

    step: NetworkStep
    recipe: Recipe
    differences: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


_OURS: Final = (
    MTU_OPTION,
    f"{OPTION}name",
    f"{OPTION}enable_ip_masquerade",
    f"{OPTION}gateway_mode_ipv4",
    f"{OPTION}gateway_mode_ipv6",
)


def recipe(wanted: Wanted, found: DockerFacts) -> Recipe:
    """The network for this subnet on this version. Older versions do not know gateway modes, and ignore none."""
    options = {
        MTU_OPTION: str(wanted.mtu),
        f"{OPTION}name": BRIDGE,
        # Docker would give overlay packets the host's address; what leaves the overlay flanpyd masquerades.
        f"{OPTION}enable_ip_masquerade": "false",
    }
    pools = [(str(wanted.subnet), str(wanted.bridge_address.ip))]
    if wanted.bridge_address6 is not None:
        pools.append((str(wanted.subnet6), str(wanted.bridge_address6.ip)))
    if found.version >= GATEWAY_MODES:
        options |= {f"{OPTION}gateway_mode_ipv{family}": "nat-unprotected" for family in (4, 6)[: len(pools)]}
    return Recipe(DOCKER_NETWORK, tuple(pools), tuple(options.items()))


def plan_network(wanted: Wanted, found: DockerFacts, holders: tuple[str, ...]) -> NetworkPlan:
    """Plan the network's action; `holders` are all containers that have the present network, running or not."""
    target = recipe(wanted, found)
    notes = tuple(_notes(wanted, found))
    present = found.own
    if present is None:
        return NetworkPlan(NetworkStep.CREATE, target, notes=notes)
    if not present.ours:
        return NetworkPlan(NetworkStep.TAKEN, target, ("it is not flanpy's",), holders, notes)
    differences = tuple(_differences(present, target))
    if not differences:
        return NetworkPlan(NetworkStep.KEEP, target, notes=notes)
    return NetworkPlan(
        NetworkStep.HELD if holders else NetworkStep.RECREATE, target, differences, holders, notes
    )


def _differences(present: DockerNetwork, target: Recipe) -> list[str]:
    has, needs = dict(present.options), dict(target.options)
    subnet, gateway = target.pools[0]
    lines = [] if str(present.subnet) == subnet else [f"subnet {present.subnet}, needs {subnet}"]
    if str(present.gateway) != gateway:
        lines.append(f"gateway {present.gateway}, needs {gateway}")
    if present.subnets6 != tuple(pool for pool, _ in target.pools[1:]):
        lines.append(f"IPv6 {', '.join(present.subnets6) or 'none'}, needs {target.pools[1:] or 'none'}")
    lines += [
        f"{key} {has.get(key, 'not set')}, needs {needs.get(key, 'none')}"
        for key in _OURS
        if has.get(key) != needs.get(key)
    ]
    return lines


def _notes(wanted: Wanted, found: DockerFacts) -> list[str]:
    notes = []
    if wanted.masquerade:
        notes.append(
            "flanpyd runs without ip-masq: containers on this network reach nothing outside the overlay"
        )
    if found.default is not None and found.default.subnet and found.default.subnet.overlaps(wanted.subnet):
        notes.append(
            f"{found.default.bridge} has {found.default.subnet}, and Docker refuses the same range twice: give it "
            "another bip in daemon.json and restart Docker first"
        )
    return notes
