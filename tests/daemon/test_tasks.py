"""Root tasks live and end together."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from flanpy.daemon.tasks import TaskEnded, run_until
from flanpy.errors import KernelError

pytestmark = pytest.mark.asyncio


class Ward:
    """A task that waits forever, and tells when it was cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = False

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_stop_ends_every_task_and_raises_nothing() -> None:
    stop, wards = asyncio.Event(), {"a": Ward(), "b": Ward()}
    running = asyncio.create_task(run_until(stop, {name: ward.run() for name, ward in wards.items()}))
    for ward in wards.values():
        await ward.started.wait()
    stop.set()
    await running
    assert [ward.cancelled for ward in wards.values()] == [True, True]


async def test_task_that_fails_ends_the_others_with_its_own_error() -> None:
    ward = Ward()

    async def fails() -> None:
        await ward.started.wait()
        raise KernelError("no netlink")

    with capture_logs() as logs, pytest.raises(KernelError, match="no netlink"):
        await run_until(asyncio.Event(), {"bad": fails(), "good": ward.run()})
    assert ward.cancelled
    assert [(line["event"], line["task"]) for line in logs] == [("task_ended", "bad")]


@pytest.mark.parametrize("error", [ValueError("a bug"), None])
async def test_task_that_ends_or_has_a_bug_is_named(error: Exception | None) -> None:
    ward = Ward()

    async def ends() -> None:
        await ward.started.wait()
        if error is not None:
            raise error

    with capture_logs(), pytest.raises(TaskEnded, match="'odd'") as caught:
        await run_until(asyncio.Event(), {"odd": ends(), "good": ward.run()})
    assert caught.value.__cause__ is error
    assert (str(error) if error else "without an error") in str(caught.value)
    assert ward.cancelled


async def test_task_that_fails_while_it_is_cancelled_hides_nothing() -> None:
    async def sulks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cancelled")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KernelError("the cause")

    with capture_logs(), pytest.raises(KernelError, match="the cause"):
        await run_until(asyncio.Event(), {"sulks": sulks(), "bad": fails()})


async def test_tasks_bear_their_names() -> None:
    stop = asyncio.Event()

    async def looks() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task.get_name() == "watcher"
        stop.set()
        await asyncio.Event().wait()

    await run_until(stop, {"watcher": looks()})
