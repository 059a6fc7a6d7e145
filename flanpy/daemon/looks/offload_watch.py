"""Connects the choice of checksum offload with the rest of the daemon: the setting, what peers measured, the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from flanpy.errors import HostError
from flanpy.host.disk_work import DiskWork
from flanpy.host.offload_file import OffloadFile
from flanpy.log import get_logger
from flanpy.model.offload import Corruption, Offload, OffloadChoice
from flanpy.plan.offload import checksum_offload
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass

log = get_logger()

CLOSE_PATIENCE: Final = 1.0
"""Seconds for a write under way when the daemon ends."""


class OffloadWatch:
    """`loop` plans by what this tells it; what was measured is kept in `run_dir` over restarts of the daemon."""

    def __init__(self, loop: ReconcileLoop, run_dir: Path) -> None:
        self._loop = loop
        self._said: Offload | None = None
        self._file = OffloadFile(run_dir)
        self._disk = DiskWork[None](self._file.path, done=lambda _saved: None, failed=_unsaved)
        loop.corruption_changed(self._file.load())

    async def close(self) -> None:
        await self._disk.settled(CLOSE_PATIENCE)

    def use(self, setting: str) -> None:
        """Put the setting into force. Another one than before ends what was measured: it is measured again."""
        choice, policy = OffloadChoice(setting), self._loop.world.policy
        if choice is not policy.tx_checksum:
            self._loop.policy_changed(replace(policy, tx_checksum=choice))
            self._measured(None)

    def corrupted(self, peers: tuple[str, ...]) -> None:
        """These peers are certain that packets come corrupted whose checksum was left to the network card."""
        underlay, known = self._loop.world.facts.underlay, checksum_offload(self._loop.world).corruption
        if underlay is not None:
            every = sorted({*peers, *(known.peers if known is not None else ())})
            self._measured(Corruption(underlay.drivers, tuple(every)))

    def pass_done(self, outcome: Pass) -> None:
        """Log the decision when it is another one."""
        network = outcome.world.network
        if outcome.decision.desired is None or network is None or network.backend_type != "vxlan":
            return
        decided = checksum_offload(outcome.world)
        if decided != self._said:
            self._said = decided
            tell = log.info if decided.corruption is None else log.warning
            tell("checksum_offload_chosen", value="on" if decided.on else "off", reason=decided.why)

    def _measured(self, found: Corruption | None) -> None:
        if found != self._loop.world.corruption:
            self._loop.corruption_changed(found)
            self._disk.give(lambda: self._file.save(found))


def _unsaved(error: HostError) -> None:
    log.warning("offload_unsaved", error=error, action="a restart of flanpyd measures checksums again")
