"""News of a file come for what a program can do to it, and only for that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flanpy.clock import SystemClock
from flanpy.files.news import FileNews

pytestmark = pytest.mark.asyncio

NEVER = 3600.0
PATIENCE_S = 10.0


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[FileNews]:
    news = FileNews(path)
    with news.listening():
        await asyncio.to_thread(news.arm)
        yield news


async def comes(news: FileNews) -> None:
    """Wait for news. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        await news.wait(SystemClock(), NEVER, NEVER)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("b")
    other.rename(path)


def moved_away(path: Path) -> None:
    path.rename(path.with_name("away"))


def directory_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))


CHANGES: list[Callable[[Path], object]] = [
    lambda path: path.write_text("b"),
    lambda path: os.truncate(path, 0),
    lambda path: path.chmod(0o600),
    Path.unlink,
    replaced,
    moved_away,
    directory_moved,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "run" / "subnet.env"
    found.parent.mkdir()
    found.write_text("a")
    return found


@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_of_the_file_is_news(path: Path, change: Callable[[Path], object]) -> None:
    async with listening(path) as news:
        change(path)
        await comes(news)


@pytest.mark.parametrize("change", [lambda path: path.write_text("b"), Path.unlink, replaced])
async def test_changes_behind_a_link_are_news(
    path: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    link = tmp_path / "link" / "subnet.env"
    link.parent.mkdir()
    link.symlink_to(path)
    async with listening(link) as news:
        change(path)
        await comes(news)
        link.unlink()
        await comes(news)


async def test_a_neighbour_of_the_file_is_no_news(path: Path) -> None:
    async with listening(path) as news:
        path.with_name("flanpyd.sock").write_text("x")
        path.read_text()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await news.wait(SystemClock(), NEVER, NEVER)


async def test_each_step_on_the_way_to_a_file_is_news(tmp_path: Path) -> None:
    path = tmp_path / "run" / "flanpy" / "names.json"
    steps: list[Callable[[], object]] = [
        path.parent.parent.mkdir,
        path.parent.mkdir,
        lambda: path.write_text("a"),
    ]
    async with listening(path) as news:
        for step in steps:
            assert news.is_armed()
            tmp_path.joinpath("neighbour").touch()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await news.wait(SystemClock(), NEVER, NEVER)
            await asyncio.to_thread(step)
            await comes(news)
            await asyncio.to_thread(news.arm)


async def test_a_way_that_is_made_while_it_is_looked_for_is_watched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "flanpy" / "names.json"
    news = FileNews(path)
    watch = news._watch

    def made_late(directory: Path) -> int:
        number = watch(directory)
        if directory == tmp_path:
            path.parent.mkdir(parents=True)
        return number

    monkeypatch.setattr(news, "_watch", made_late)
    with news.listening():
        await asyncio.to_thread(news.arm)
        await asyncio.to_thread(path.write_text, "a")
        await comes(news)


async def test_a_link_that_leads_nowhere_is_not_watched(tmp_path: Path) -> None:
    tmp_path.joinpath("run").symlink_to("nowhere")
    async with listening(tmp_path / "run" / "subnet.env") as news:
        assert not news.is_armed()


async def test_a_directory_that_was_replaced_is_watched_anew(path: Path) -> None:
    async with listening(path) as news:
        directory_moved(path)
        await comes(news)
        path.parent.mkdir()
        await asyncio.to_thread(news.arm)
        path.write_text("a")
        await comes(news)


async def test_nothing_stays_open(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        async with listening(path) as news:
            assert news.is_armed()
    assert not news.is_armed()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    await asyncio.to_thread(news.arm)
    assert not news.is_armed()
