"""One reconcile pass as a pure function: from the world and what was observed to the operations to apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from flanpy.model.address import IPNetwork
from flanpy.model.objects import (
    KernelObject,
    Key,
)
from flanpy.model.ops import Delete, Objects, Op
from flanpy.model.world import World
from flanpy.plan.border import guarded, stealing
from flanpy.plan.diff import Difference, diff, in_order
from flanpy.plan.gates import Gate, Hold, brake, closed_gate
from flanpy.plan.ownership import Observed, is_of_named_network

_NOTHING: Mapping[Key, KernelObject] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decision:
    """The operations of one pass, and the reasons for those held back.

    `desired` is None while nothing can be planned yet (no lease, network or underlay). Then the only operations are
    deletions of our routes that take over this host's own paths; neither gate nor brake holds these back.
    `gate` and `hold` say why the deletions among `difference` are not among `ops`. `unlisted`: those of named networks
    wait until etcd has told of them, and hold up no others: a user of etcd may have no right to read them.
    """

    desired: Objects | None = None
    difference: Difference = field(default_factory=Difference)
    ops: tuple[Op, ...] = ()
    gate: Gate | None = None
    hold: Hold | None = None
    unlisted: bool = False

    @property
    def settles(self) -> bool:
        """Report whether desired and observed agree on every key (conflicts aside) once all of `ops` have succeeded."""
        kept_back = (
            self.gate is not None or self.hold is not None or self.difference.blocked > 0 or self.unlisted
        )
        return self.desired is not None and not kept_back


def decide(
    world: World,
    desired: Objects | None,
    observed: Observed,
    *,
    held: Hold | None = None,
    changed: tuple[Key, ...] | None = None,
) -> Decision:
    """Decide one pass. `observed` must be read back since others changed the kernel; `held` is the last hold.

    `changed` may be given after a pass that settled: the keys whose desired object may have changed since.
    """
    gate = closed_gate(world, trusted=True)
    if desired is None:
        doomed = stealing(observed.owned.values(), guarded(world))
        return Decision(ops=tuple(map(Delete, doomed)), gate=gate, hold=held)
    difference = diff(desired, observed, may_replace=gate is None, changed=changed)
    if gate is not None:
        deletes = _harmful(difference.deletes, world)
        return Decision(desired, difference, in_order(deletes, difference.puts), gate, held)
    hold = brake(difference.deletes, observed.owned, world.view, held=held, withheld=_withheld(world))
    unlisted = not world.named.listed
    deletes = _not_of_unlisted(difference.deletes, desired) if unlisted else difference.deletes
    if hold is not None:
        deletes = (*_not_of_peers(deletes), *_harmful(deletes, world))
    return Decision(desired, difference, in_order(deletes, difference.puts), None, hold, unlisted)


def _harmful(deletes: Sequence[Delete], world: World) -> tuple[Delete, ...]:
    """Return the deletions that no gate holds back: routes over the host's paths to etcd and its gateways, and those
    of withheld leases."""
    if not deletes:
        return ()
    harmful = {id(route) for route in stealing((op.obj for op in deletes), guarded(world))}
    withheld = _withheld(world)
    return tuple(
        op for op in deletes if id(op.obj) in harmful or not withheld.isdisjoint(op.obj.destinations)
    )


def _withheld(world: World) -> frozenset[IPNetwork]:
    return frozenset(subnet for key, _ in world.withheld for subnet in key.subnets)


def _not_of_peers(deletes: Sequence[Delete]) -> tuple[Delete, ...]:
    return tuple(op for op in deletes if not op.obj.is_of_peer)


def _not_of_unlisted(deletes: Sequence[Delete], desired: Objects) -> tuple[Delete, ...]:
    """Return the deletions that take nothing from a named network which etcd has not told of yet."""
    return tuple(op for op in deletes if op.obj.key in desired or not is_of_named_network(op.obj))
