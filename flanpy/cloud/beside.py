"""Blocking calls beside the event loop, in threads that no end of the daemon waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def beside(work: Callable[[], T]) -> T:
    """Do `work` in a thread of its own and give what it gives; who is cancelled leaves the thread to its deadline."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001  (whatever it is, it is raised where it is awaited)
            error = caught
            _tell(loop, lambda: future.set_exception(error), future)
        else:
            _tell(loop, lambda: future.set_result(result), future)

    threading.Thread(target=run, name="cloud", daemon=True).start()
    return await future


def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[[], None], future: asyncio.Future[T]) -> None:
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(lambda: None if future.done() else settle())
