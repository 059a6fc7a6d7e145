"""Root tasks: named, guarded, and ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from flanpy.errors import FlanpyError
from flanpy.log import get_logger

log = get_logger()


class TaskEnded(FlanpyError):
    """A root task that ended without a request."""


async def run_until(stop: asyncio.Event, coroutines: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Run all until `stop` is set. The first that ends or fails ends the others, and its error is raised."""
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    stopper = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait([stopper, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if stopper not in done:
            _raise_end(next(iter(done)))
    finally:
        await _cancel([stopper, *tasks])


def _raise_end(task: asyncio.Task[Any]) -> None:
    error = task.exception()
    log.error("task_ended", task=task.get_name(), error=error, exc_info=error)
    if isinstance(error, FlanpyError):
        raise error
    raise TaskEnded(
        f"the task '{task.get_name()}' ended: {error or 'without an error'}; see the log"
    ) from error


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        # What a task says while it is cancelled is of no use any more.
        with suppress(asyncio.CancelledError, Exception):
            await task
