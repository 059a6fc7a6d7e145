"""Connects the probes with the rest of the daemon: whom to probe, what this host knows of itself, where reports go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from flanpy.clock import Clock, set_within
from flanpy.config import Settings
from flanpy.errors import HostError
from flanpy.model.condition import ConditionType
from flanpy.model.objects import FdbEntry, KernelObject, Neighbour, Route
from flanpy.plan.render import describe
from flanpy.probe.diagnosis import Snags
from flanpy.probe.prober import Prober
from flanpy.probe.target import Target, targets
from flanpy.reconcile.loop import Pass
from flanpy.status.board import StatusBoard

FIRST_LOOK_S = 5.0
"""How long to wait for the first pass before a first round that finds nobody."""


class Probing:
    """Runs the probes of one daemon, if they are on."""

    def __init__(
        self, settings: Callable[[], Settings], node_id: str, *, clock: Clock, board: StatusBoard
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._board = board
        self._planned = asyncio.Event()
        self._of: tuple[object, tuple[Target, ...]] = (None, ())
        self.prober = Prober(
            clock=clock,
            here=node_id,
            interval=lambda: self._settings().probe.interval,
            targets=self._targets,
            snags_of=self._snags,
            publish=lambda report: self._board.note(reach=report),
            knock_port=settings().probe.mesh_port or 1,
        )

    async def run(self) -> None:
        """Probe until cancelled; first when there is a pass to know peers by."""
        if not self._settings().probe.on:
            await asyncio.Event().wait()
        await set_within(self._planned, self._clock, FIRST_LOOK_S)
        await self.prober.run()

    def pass_done(self, outcome: Pass) -> None:
        if outcome.decision.desired is not None:
            self._planned.set()

    async def probe_now(self) -> None:
        """One round at once; raises HostError if probes are off."""
        if not self._settings().probe.on:
            raise HostError("probe false: nothing is probed; set --probe to true and restart")
        await self.prober.round()

    def _targets(self) -> tuple[Target, ...]:
        """Those of the last pass, reckoned anew only if the world changed: a thousand peers take milliseconds."""
        last = self._board.snapshot.inputs.last
        if last is None or last.decision.desired is None:
            return ()
        if self._of[0] is not last.world:
            unreached = {lease.key for lease in last.unreached}
            peers = [lease for lease in last.admission.peers if lease.key not in unreached]
            self._of = (last.world, targets(last.world, peers))
        return self._of[1]

    def _snags(self, target: Target) -> Snags:
        inputs = self._board.snapshot.inputs
        last = inputs.last
        if last is None:
            return Snags()
        firewall = _unhealthy(self._board, ConditionType.FIREWALL_READY)
        path = inputs.tuning.reverse_path if inputs.tuning is not None else None
        strict = ", ".join(path.strict) if path is not None and path.drops_lately else ""
        return Snags(
            underlay="" if last.world.facts.underlay is not None else last.world.facts.problem,
            entries="; ".join(_wrong_entries(last, target)),
            firewall=firewall,
            reverse_path=f"rp_filter is strict on {strict} and drops packets" if strict else "",
        )


def _unhealthy(board: StatusBoard, kind: ConditionType) -> str:
    return next((c.message for c in board.snapshot.conditions if c.type is kind and not c.healthy), "")


def _wrong_entries(last: Pass, target: Target) -> Iterator[str]:
    """What stands, or failed to be put, where packets to the peer need ours."""
    for conflict in last.decision.difference.conflicts:
        if _leads_to(conflict.wanted, target):
            yield f"a foreign entry stands where ours should: {describe(conflict.found)}"
    for failure in last.failures:
        if _leads_to(failure.op.obj, target):
            yield f"the kernel refused an entry: {failure.error}"


def _leads_to(obj: KernelObject, target: Target) -> bool:
    match obj:
        case Neighbour(address=address):
            return address == target.overlay
        case FdbEntry(destination=destination):
            return destination == target.underlay
        case Route(destination=network):
            return target.overlay in network
        case _:
            return False
