"""Docker's words to the named networks that it did not take: root's file, followed for the condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from flanpy.clock import Clock
from flanpy.files.news import FileNews
from flanpy.host import docker_refusals_file

_OFTEN_S: Final = 5.0
_RARELY_S: Final = 60.0


async def follow(run_dir: Path, clock: Clock, told: Callable[[Mapping[str, str]], None]) -> None:
    """Tell what the file says whenever it may have changed, without end."""
    path = docker_refusals_file.path_of(run_dir)
    news = FileNews(path)

    def look() -> Mapping[str, str]:
        news.arm()
        return docker_refusals_file.load(path)

    with news.listening():
        while True:
            told(await asyncio.to_thread(look))
            await news.wait(clock, _OFTEN_S, _RARELY_S)
