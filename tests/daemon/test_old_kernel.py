"""A kernel that has no VXLAN, or does not let us: said with the cure, tried again, and no end of the daemon."""

from __future__ import annotations

import errno

import pytest

from flanpy.model.condition import ConditionType
from flanpy.status.board import StatusBoard
from tests.reconcile.rig import running
from tests.states import V4, as_backend, lease, world

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("code", "backend", "cure"),
    [
        (errno.EOPNOTSUPP, "vxlan", "load the module vxlan"),
        (errno.EOPNOTSUPP, "ipip", "this kernel has no IPIP: load the module ipip (modprobe ipip)"),
        (errno.EPERM, "vxlan", "CAP_NET_ADMIN"),
    ],
)
async def test_kernel_that_refuses_the_device_is_named_with_its_cure_until_it_yields(
    code: int, backend: str, cure: str
) -> None:
    async with running() as rig:
        board = StatusBoard(rig.clock)
        rig.kernel.fail_next(100, error=code)
        rig.show(as_backend(backend, world(V4, lease(1))))
        await rig.clock.advance(1)
        board.note_pass(rig.passes[-1])
        judged = next(c for c in board.snapshot.conditions if c.type is ConditionType.BACKEND_READY)
        assert (judged.reason, judged.healthy) == ("LinkFailed", False)
        assert cure in judged.cure
        await rig.clock.advance(600)  # the faults run out: the module is loaded
        board.note_pass(rig.passes[-1])
        judged = next(c for c in board.snapshot.conditions if c.type is ConditionType.BACKEND_READY)
        assert judged.healthy
