"""Named networks in Docker: what each of them is made of here, and the action that it needs. Pure.

Each is an ordinary bridge network with the same subnet on every host, of which Docker gives out this host's slice. So
containers start with etcd, flanpyd and flanpy-docker away. A network is made anew only if no container has it, as
containers keep the address and the MTU that they were started with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flanpy.docker.facts import MTU_OPTION, OPTION
from flanpy.docker.network import NetworkStep, Recipe
from flanpy.model.networks.view import Joined

LABEL: Final = "net.flanpy.named"
"""The label of named networks in Docker; its value is the definition's id."""


@dataclass(frozen=True, slots=True)
class NamedStep:
    """The action for one network. `recipe` is None for one that goes; `id` is Docker's, "" without one."""

    name: str
    step: NetworkStep
    recipe: Recipe | None = None
    id: str = ""
    differences: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """Return why the network is not as it should be, with the cure; "" if it is, or will be."""
        if self.step is NetworkStep.TAKEN:
            return f"Docker has a network '{self.name}' of somebody else: remove it, or name ours otherwise"
        if self.step is not NetworkStep.HELD:
            return ""
        more = f" and {len(self.holders) - 5} more" if len(self.holders) > 5 else ""
        return (
            f"network '{self.name}': {'; '.join(self.differences)}; held by {', '.join(self.holders[:5])}{more}: remove"
            " or disconnect them, then run flanpyctl docker networks"
        )


def recipe(joined: Joined) -> Recipe:
    """Return the network on this host. Docker would give out the first address of a slice, which ends in .0."""
    first = joined.slice.network_address
    return Recipe(
        joined.network.name,
        ((str(joined.network.subnet), str(first + 1)),),
        ((MTU_OPTION, str(joined.network.mtu)), (f"{OPTION}name", joined.bridge)),
        labels=((LABEL, joined.network.id),),
        slice=str(joined.slice),
        kept_free=() if first == joined.network.subnet.network_address else (str(first),),
        internal=joined.network.internal,
    )


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
        return NamedStep(name, NetworkStep.TAKEN, target, found, ("it was made by somebody else",), holders)
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
    pool: Mapping[str, Any] = next(iter((present.get("IPAM") or {}).get("Config") or ()), {})
    subnet, gateway = target.pools[0]
    has = {
        "subnet": str(pool.get("Subnet", "")),
        "range": str(pool.get("IPRange", "")),
        "gateway": str(pool.get("Gateway", "")).partition("/")[0],
        "internal": str(bool(present.get("Internal"))),
        **_texts(target.options, present.get("Options") or {}),
        **_texts(target.labels, present.get("Labels") or {}),
    }
    needs = {
        "subnet": subnet,
        "range": target.slice,
        "gateway": gateway,
        "internal": str(target.internal),
        **dict(target.options),
        **dict(target.labels),
    }
    return (
        f"{key} {has[key] or 'not set'}, needs {value}" for key, value in needs.items() if has[key] != value
    )


def _texts(wanted: Iterable[tuple[str, str]], found: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(found.get(key, "")) for key, _ in wanted}
