"""The output of `flanpyctl docker`: sentences for people, documents with stable keys for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flanpy.cli.base.output import print_as
from flanpy.cli.base.wording import plural
from flanpy.docker.bip import BipPlan, Outcome
from flanpy.docker.client import Container
from flanpy.docker.facts import DockerFacts, DockerNetwork
from flanpy.docker.network import NetworkPlan, NetworkStep
from flanpy.docker.restart import Choice
from flanpy.docker.verdict import DockerLook, Silent
from flanpy.docker.wanted import Wanted
from flanpy.model.condition import Condition
from flanpy.printable import tamed

Document = dict[str, Any]


def show_plan(form: str, plan: BipPlan) -> None:
    """The diff, then what a restart would mean."""
    if form != "table":
        print_as(form, _plan_document(plan))
        return
    print(tamed(plan.diff) or f"{plan.file.path} stays as it is", end="" if plan.diff else "\n")
    for line in (*plan.notes, *_restart_lines(plan)):
        print(line)


def show_outcome(form: str, outcome: Outcome) -> None:
    """Print the outcome of apply or rollback."""
    plan = outcome.plan
    if form != "table":
        running = _network_document(outcome.docker.default) if outcome.docker else None
        print_as(form, {**_plan_document(plan), "restarted": outcome.restarted, "running": running})
        return
    print(f"{plan.file.path} {'was changed' if plan.writes else 'stays as it is'}")
    for note in plan.notes:
        print(note)
    if outcome.restarted and outcome.docker and outcome.docker.default:
        own = outcome.docker.default
        print(f"Docker was restarted: {own.bridge} is {own.subnet} with MTU {own.mtu}")
        return
    for line in _restart_lines(plan):
        print(line)


def show_network(form: str, plan: NetworkPlan, *, done: bool = False) -> None:
    """Print the network's plan, or with `done` the result."""
    if form != "table":
        print_as(form, _network_plan_document(plan))
        return
    for line in (*_network_lines(plan, done=done), *plan.notes):
        print(line)


def show_removed(form: str, *, removed: bool) -> None:
    if form != "table":
        print_as(form, {"mode": "network", "removed": removed})
    else:
        print("the network was removed" if removed else "there is no network of ours")


def show_status(
    form: str, look: DockerLook, wanted: Wanted, condition: Condition, *, warnings: Sequence[str] = ()
) -> None:
    """Both sides, and the judgement."""
    found = look.found if isinstance(look.found, DockerFacts) else None
    if form != "table":
        document = _status_document(look, found, wanted, condition)
        print_as(form, {**document, "warnings": list(warnings)})
        return
    for title, text in _status_lines(look, found, wanted, condition):
        print(f"{title:<12}{text}")
    for warning in warnings:
        print(f"{'Warning':<12}{warning}")


def _restart_lines(plan: BipPlan) -> Iterator[str]:
    match plan.choice:
        case Choice.NOT_RUNNING:
            yield "Docker does not run: it will start with this file"
        case Choice.NOT_NEEDED:
            yield "no restart is needed: Docker runs with this already"
        case Choice.BY_POLICY:
            yield "Docker must be restarted to take this, and docker-restart leaves that to you"
        case Choice.VOID:
            yield "a restart would be for nothing: with live-restore Docker keeps its old bip while containers run"
        case Choice.RESTART:
            yield "apply restarts Docker"
    if plan.choice in {Choice.BY_POLICY, Choice.RESTART} and plan.stops:
        yield f"a restart stops {plural(len(plan.stops), 'container')}: {_names(plan.stops)}"
    if plan.docker is not None and plan.docker.live_restore and plan.choice is Choice.BY_POLICY:
        running = plan.docker.running
        void = f": a restart would be void while {plural(running, 'container')} run"
        yield "live-restore is on" + (
            void if running and plan.for_bridge else ": a restart stops no container" if running else ""
        )


def _names(containers: Iterable[Container]) -> str:
    return ", ".join(
        one.name + (" (comes back)" if one.comes_back else "") for one in sorted(containers, key=_by_name)
    )


def _by_name(container: Container) -> str:
    return container.name


def _plan_document(plan: BipPlan) -> Document:
    return {
        "mode": "bip",
        "file": str(plan.file.path),
        "backup": str(plan.file.backup),
        "changed": plan.writes,
        "changes": [{"key": one.key, "old": one.old, "new": one.new} for one in plan.changes],
        "diff": plan.diff,
        "docker_running": plan.docker is not None,
        "live_restore": plan.docker.live_restore if plan.docker else None,
        "running_containers": plan.docker.running if plan.docker else 0,
        "restart": plan.choice.value,
        "restart_needed": plan.choice in {Choice.BY_POLICY, Choice.VOID, Choice.RESTART},
        "stops": [
            {"name": one.name, "id": one.id, "comes_back": one.comes_back}
            for one in sorted(plan.stops, key=_by_name)
        ],
        "notes": list(plan.notes),
    }


def _network_lines(plan: NetworkPlan, *, done: bool) -> Iterator[str]:
    name, (subnet, _) = plan.recipe.name, plan.recipe.pools[0]
    match plan.step:
        case NetworkStep.KEEP:
            yield f"the network '{name}' is as it should be: {subnet}"
        case NetworkStep.CREATE:
            yield f"the network '{name}' {'was' if done else 'would be'} created on {subnet}"
        case NetworkStep.RECREATE:
            yield f"the network '{name}' {'was' if done else 'would be'} made again on {subnet}"
        case NetworkStep.HELD:
            yield f"the network '{name}' must be made again, and is held by {', '.join(plan.holders)}"
        case NetworkStep.TAKEN:
            yield f"there is a network '{name}' that is not flanpy's"
    yield from plan.differences


def _network_plan_document(plan: NetworkPlan) -> Document:
    return {
        "mode": "network",
        "network": plan.recipe.name,
        "step": plan.step.value,
        "subnet": plan.recipe.pools[0][0],
        "options": dict(plan.recipe.options),
        "differences": list(plan.differences),
        "holders": list(plan.holders),
        "notes": list(plan.notes),
    }


def _status_lines(
    look: DockerLook, found: DockerFacts | None, wanted: Wanted, condition: Condition
) -> Iterator[tuple[str, str]]:
    yield "Overlay", f"{wanted.subnet} of {wanted.network}, bridge {wanted.bridge_address}, MTU {wanted.mtu}"
    if isinstance(look.found, Silent):
        yield "Docker", look.found.detail
    elif found is not None:
        live = ", live-restore" if found.live_restore else ""
        yield "Docker", f"{found.version}{live}, {plural(found.running, 'running container')}"
        for title, network in (("docker0", found.default), ("flanpy", found.own)):
            if network is not None:
                yield title, _network_text(network)
    yield "Consistent", f"{condition.status.value} ({condition.reason}): {condition.message}"
    if condition.cure:
        yield "Cure", condition.cure


def _network_text(network: DockerNetwork) -> str:
    masquerade = "masqueraded by Docker" if network.masquerade else "not masqueraded by Docker"
    address = f", address {network.gateway}" if network.gateway else ""
    return f"{network.subnet} on {network.bridge}{address}, MTU {network.mtu}, {masquerade}"


def _status_document(
    look: DockerLook, found: DockerFacts | None, wanted: Wanted, condition: Condition
) -> Document:
    return {
        "wanted": {
            "network": str(wanted.network),
            "subnet": str(wanted.subnet),
            "bip": str(wanted.bridge_address),
            "mtu": wanted.mtu,
            "ip_masq": wanted.masquerade,
        },
        "docker": None
        if found is None
        else {
            "version": str(found.version),
            "live_restore": found.live_restore,
            "running_containers": found.running,
            "default_bridge": _network_document(found.default),
            "network": _network_document(found.own),
        },
        "told_bip": look.told,
        "over_mtu": list(look.over_mtu),
        "consistent": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
        "cure": condition.cure,
    }


def _network_document(network: DockerNetwork | None) -> Document | None:
    if network is None:
        return None
    return {
        "name": network.name,
        "bridge": network.bridge,
        "subnet": str(network.subnet),
        "gateway": str(network.gateway),
        "mtu": network.mtu,
        "ip_masq": network.masquerade,
        "gateway_mode": network.gateway_mode,
        "containers": list(network.containers),
    }
