"""Named networks in Docker: what each of them is made of here, and the action that it needs. Pure.

Each is an ordinary bridge network with the same subnet on every host, of which Docker gives out this host's slice. So
containers start with etcd, flanpyd and flanpy-docker away. A network is made again only if no container has it, as
containers keep the address and the MTU that they were started with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flanpy.docker.facts import MTU_OPTION, OPTION
from flanpy.docker.network import NetworkStep, Recipe
from flanpy.model.address import IPNetwork
from flanpy.model.networks.view import Joined
from flanpy.plan.networks import subnets

LABEL: Final = "net.flanpy.named"
"""The label of named networks in Docker; its value is the definition's id."""


@dataclass(frozen=True, slots=True)
class NamedStep:
    """The action for one network. `recipe` is None for one that goes; `id` is Docker's, "" without one; `refused` is
    why Docker did not do it."""

    name: str
    step: NetworkStep
    recipe: Recipe | None = None
    id: str = ""
    differences: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    refused: str = ""

    @property
    def fault(self) -> str:
        """Return why the network is not as it should be, "" if it is, or will be."""
        if self.refused:
            return self.refused
        if self.step is NetworkStep.TAKEN:
            return "Docker has a network of this name that is not flanpy's: remove it, or name ours otherwise"
        if self.step is not NetworkStep.HELD:
            return ""
        more = f" and {len(self.holders) - 5} more" if len(self.holders) > 5 else ""
        return f"{'; '.join(self.differences)}; held by {', '.join(self.holders[:5])}{more}"

    @property
    def trouble(self) -> str:
        """Return the fault with the network's name and the cure, "" for none."""
        if not self.fault:
            return ""
        held = self.step is NetworkStep.HELD and not self.refused
        cure = ": remove or disconnect them, then run flanpyctl docker networks" if held else ""
        return f"network '{self.name}': {self.fault}{cure}"


def recipe(joined: Joined) -> Recipe:
    """Return the network on this host. Docker would give out the first address of a slice, which ends in .0."""
    slices: tuple[IPNetwork, ...] = tuple(one for one in (joined.slice, joined.slice6) if one is not None)
    pairs = tuple(zip(subnets(joined.network), slices, strict=True))
    return Recipe(
        joined.network.name,
        tuple((str(subnet), str(slice_.network_address + 1)) for subnet, slice_ in pairs),
        ((MTU_OPTION, str(joined.network.mtu)), (f"{OPTION}name", joined.bridge)),
        labels=((LABEL, joined.network.id),),
        slices=tuple(map(str, slices)),
        kept_free=tuple(_kept_free(subnet, slice_) for subnet, slice_ in pairs),
        internal=joined.network.internal,
    )


def _kept_free(subnet: IPNetwork, slice_: IPNetwork) -> tuple[str, ...]:
    first = slice_.network_address
    return () if first == subnet.network_address else (str(first),)


def plan_one(
    joined: Joined, present: Mapping[str, Any] | None, holders: tuple[str, ...], *, bridged: bool
) -> NamedStep:
    """Plan one network. `holders` are the containers that have it; `bridged`: its bridge is here."""
    target = recipe(joined)
    name = joined.network.name
    if present is None:
        return NamedStep(name, NetworkStep.CREATE, target)
    found = str(present.get("Id", ""))
    if LABEL not in (present.get("Labels") or {}):
        return NamedStep(name, NetworkStep.TAKEN, target, found, ("it is not flanpy's",), holders)
    wrong = tuple(_differences(present, target))
    if not bridged:
        wrong += (f"its bridge {joined.bridge} is gone, which only a restart of Docker brings back",)
    if not wrong:
        return NamedStep(name, NetworkStep.KEEP, target, found)
    return NamedStep(
        name, NetworkStep.HELD if holders else NetworkStep.RECREATE, target, found, wrong, holders
    )


def plan_gone(present: Mapping[str, Any], holders: tuple[str, ...]) -> NamedStep:
    """Plan a network of ours that is defined no more."""
    return NamedStep(
        str(present.get("Name", "")),
        NetworkStep.HELD if holders else NetworkStep.REMOVE,
        id=str(present.get("Id", "")),
        differences=("it is defined no more",),
        holders=holders,
    )


def _differences(present: Mapping[str, Any], target: Recipe) -> Iterator[str]:
    pools: Iterable[Mapping[str, Any]] = (present.get("IPAM") or {}).get("Config") or ()
    has = {
        **_pools(
            (str(pool.get("Subnet", "")), str(pool.get("IPRange", "")), str(pool.get("Gateway", "")))
            for pool in pools
        ),
        "internal": str(bool(present.get("Internal"))),
        **_texts(target.options, present.get("Options") or {}),
        **_texts(target.labels, present.get("Labels") or {}),
    }
    needs = {
        **_pools(
            (subnet, slice_, gateway)
            for (subnet, gateway), slice_ in zip(target.pools, target.slices, strict=True)
        ),
        "internal": str(target.internal),
        **dict(target.options),
        **dict(target.labels),
    }
    return (
        f"{key} {has.get(key) or 'not set'}, needs {needs.get(key) or 'none'}"
        for key in {**needs, **has}
        if has.get(key, "") != needs.get(key, "")
    )


def _pools(pools: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return what Docker says of its pools, by words that tell the two families apart."""
    found: dict[str, str] = {}
    for subnet, slice_, gateway in pools:
        family = "IPv6 " if ":" in subnet else ""
        found |= {
            f"{family}subnet": subnet,
            f"{family}range": slice_,
            f"{family}gateway": gateway.partition("/")[0],
        }
    return found


def _texts(wanted: Iterable[tuple[str, str]], found: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(found.get(key, "")) for key, _ in wanted}
