"""Worlds as packet filter rules see them, and namespaces to put rules into."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from flanpy.backend import choice
from flanpy.backend.filtering import filter_objects
from flanpy.model.address import Family
from flanpy.model.packet_filter import (
    DockerRules,
    FilterFacts,
    FilterObject,
    FilterPolicy,
    Flavour,
)
from flanpy.model.world import World
from integration.net import namespaces
from tests.states import crowd

REPLICAS = Path(__file__).with_name("replicas")
IPTABLES = (Flavour.IPTABLES_NFT, Flavour.IPTABLES_LEGACY)
OLD = DockerRules(user_chain=True)
NEW = DockerRules(user_chain=True, direct_drops=True)

T = TypeVar("T")


def facts(flavour: Flavour, docker: DockerRules | None = None) -> FilterFacts:
    """The system's tool is of that flavour, and Docker has these rules in it, for both families."""
    rules = frozenset((flavour, family, docker) for family in Family) if docker is not None else frozenset()
    return FilterFacts(frozenset(Flavour), flavour, rules)


def filtered(
    seen: FilterFacts, base: World | None = None, policy: FilterPolicy | None = None
) -> tuple[FilterObject, ...]:
    """The objects planned for a world in which the filters were seen like that."""
    one = base or crowd(2)
    policies = replace(one.policy, filter=policy or FilterPolicy())
    planned = filter_objects(replace(one, filter=seen, policy=policies), choice.overlay_links(one))
    return tuple(obj for obj in planned if isinstance(obj, FilterObject))


@dataclass(frozen=True)
class Namespace:
    """A network namespace."""

    name: str

    def run(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command inside; its standard output."""
        return namespaces.run_in(self.name, argv, stdin=stdin, check=check).stdout

    def inside(self, work: Callable[[], T]) -> T:
        """Work in a thread inside; threads that it starts are inside too."""
        return namespaces.in_namespace(self.name, work)

    def saved(self, flavour: Flavour) -> list[str]:
        """Every rule and chain, without counters and comments."""
        if flavour is Flavour.NFT:
            return self.run("nft", "--stateless", "list", "ruleset").splitlines()
        lines = self.run(f"{flavour.value}-save").splitlines()
        return [line.split(" [")[0] for line in lines if not line.startswith("#")]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A fresh one."""
    name = f"fp-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield Namespace(name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
