"""Connects the choice of checksum offload with the rest of the daemon: the setting, what peers measured, the log."""

from __future__ import annotations

from dataclasses import replace

from flanpy.log import get_logger
from flanpy.model.offload import Offload, OffloadChoice
from flanpy.plan.offload import checksum_offload
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass

log = get_logger()


class OffloadWatch:
    """`loop` plans by what this tells it."""

    def __init__(self, loop: ReconcileLoop) -> None:
        self._loop = loop
        self._said: Offload | None = None

    def use(self, setting: str) -> None:
        """Put the setting into force."""
        choice, policy = OffloadChoice(setting), self._loop.world.policy
        if choice is not policy.tx_checksum:
            self._loop.policy_changed(replace(policy, tx_checksum=choice))

    def pass_done(self, outcome: Pass) -> None:
        """Log the decision when it is another one."""
        network = outcome.world.network
        if outcome.decision.desired is None or network is None or network.backend_type != "vxlan":
            return
        decided = checksum_offload(outcome.world)
        if decided != self._said:
            self._said = decided
            log.info("checksum_offload_chosen", value="on" if decided.on else "off", reason=decided.why)
