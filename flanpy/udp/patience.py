"""Waiting for an answer on a machine that may stand still: only time in which we ourselves were awake counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SLICE = 0.05
"""Seconds. A stall of the whole machine, however long, passes as one of these."""


async def patiently(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`, or TimeoutError once it had `seconds` of our own waking time."""
    task = asyncio.ensure_future(work)
    try:
        for _ in range(max(1, round(seconds / SLICE))):
            done, _ = await asyncio.wait({task}, timeout=SLICE)
            if done:
                return task.result()
    finally:
        task.cancel()
    raise TimeoutError(f"no answer within {seconds} s")
