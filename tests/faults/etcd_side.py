"""One guarded lab for the etcd faults of a module, built again when a fault has left it broken."""

from __future__ import annotations

from contextlib import ExitStack

from integration.hosts.guarded import GuardedLab
from integration.lab import LabError
from tests.lab import conftest as labs
from tests.lab.overlay import assert_settled

AS_BEFORE_S = 10.0


class SharedGuardedLab:
    """`healthy()` is the lab with all as it must be."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lab: GuardedLab | None = None

    def healthy(self) -> GuardedLab:
        """The lab that stands, or a new one."""
        if self._lab is not None:
            try:
                settled(self._lab)
            except (AssertionError, LabError):
                self.close()
            else:
                return self._lab
        lab = self._stack.enter_context(GuardedLab())
        labs._standing.append(lab)
        self._stack.callback(labs._standing.remove, lab)
        lab.start_residents()
        settled(lab)
        self._lab = lab
        return lab

    def close(self) -> None:
        """Remove it."""
        self._stack.close()
        self._lab = None


def settled(lab: GuardedLab) -> None:
    """Exactly what must stand stands on every resident, and each says that it is ready."""
    assert lab.newcomer.daemon.exit_code in (None, 0)
    assert_settled(lab, lab.residents, deadline=AS_BEFORE_S)
