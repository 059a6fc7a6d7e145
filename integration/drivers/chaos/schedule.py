"""The schedule of faults: kind, hosts, begin and duration, from a seed alone. Pure: the same arguments give the
same schedule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from integration.faults.catalogue import FAULTS, of_families
from integration.faults.fault import Family, Fault, Part
from integration.truth.fabric import VXLAN, Fabric

STORM_S = 14.0
CALM_S = 10.0
"""What a calm takes as a rule; it lasts until all is well again."""
BLOWS = 7
MARGIN_S = 0.8
"""Between two faults on the same part, so that one is taken back before the next strikes."""
TRIES = 30
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault of a schedule; seconds count from the beginning of its storm."""

    storm: int
    at: float
    lasts: float
    kind: str
    hosts: tuple[str, ...] = ()
    seed: int = 0

    @property
    def ends(self) -> float:
        """Return when the fault is taken back."""
        return self.at + self.lasts

    def __str__(self) -> str:
        where = " ".join(self.hosts)
        return (
            f"storm {self.storm} +{self.at:5.2f} s for {self.lasts:5.2f} s  {self.kind:24} {where}".rstrip()
        )


def plan(
    seed: int,
    *,
    hosts: int,
    seconds: float,
    families: Iterable[Family] = tuple(Family),
    blows: int = BLOWS,
    fabric: Fabric = VXLAN,
) -> tuple[Blow, ...]:
    """Return the whole schedule: as many storms, with their calms, as fit into `seconds`, at least one."""
    kinds = of_families(families, fabric)
    if not kinds:
        raise ValueError("no family of faults is left")
    names = [f"h{number}" for number in range(1, hosts + 1)]
    storms = max(1, round(seconds / (STORM_S + CALM_S)))
    return tuple(
        blow
        for storm in range(1, storms + 1)
        for blow in _storm(Random(f"{seed}/{storm}"), storm, names, kinds, blows)
    )


def _storm(
    dice: Random, number: int, hosts: Sequence[str], kinds: Sequence[Fault], blows: int
) -> Sequence[Blow]:
    families = sorted({kind.family.value for kind in kinds})
    chosen: list[Blow] = []
    exposed = frozenset(dice.sample(hosts, max(1, len(hosts) - 2)))
    for _ in range(blows):
        for _ in range(TRIES):
            family = dice.choice(families)
            blow = _throw(dice, number, hosts, [kind for kind in kinds if kind.family.value == family])
            if blow is not None and _fits(blow, chosen, exposed):
                chosen.append(blow)
                break
    return sorted(chosen, key=lambda blow: blow.at)


def _throw(dice: Random, storm: int, hosts: Sequence[str], kinds: Sequence[Fault]) -> Blow | None:
    kind = dice.choice(kinds)
    if kind.hosts > len(hosts):
        return None
    lasts = round(dice.uniform(*kind.lasts), 2)
    at = round(dice.uniform(0, max(0.1, STORM_S - lasts)), 2)
    return Blow(storm, at, lasts, kind.name, tuple(dice.sample(hosts, kind.hosts)), dice.getrandbits(32))


def _fits(blow: Blow, chosen: Sequence[Blow], exposed: frozenset[str]) -> bool:
    """No two faults on one part at once; what breaks packets keeps to the exposed, so that two hosts see none."""
    if FAULTS[blow.kind].breaks and not exposed.issuperset(blow.hosts):
        return False
    return not any(
        collide(blow, other) and blow.at < other.ends + MARGIN_S and other.at < blow.ends + MARGIN_S
        for other in chosen
    )


def collide(one: Blow, other: Blow) -> bool:
    """Report whether both blows work on the same part of the same host, or of etcd."""
    return any(
        part is its_part and (host == its_host or EVERY in (host, its_host))
        for host, part in _parts(one)
        for its_host, its_part in _parts(other)
    )


def _parts(blow: Blow) -> Iterator[tuple[str, Part]]:
    """Yield the parts that the blow has for itself, with their hosts."""
    kind = FAULTS[blow.kind]
    hosts = blow.hosts or (EVERY,)
    parts = {kind.part, *kind.also}
    for part in Part:
        if part in parts:
            yield from ((host, part) for host in ((EVERY,) if part is Part.ETCD else hosts))
