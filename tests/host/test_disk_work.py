"""Work on a disk that takes its time: nobody waits for it, it is named, and what was last given is done."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.host import disk_work
from flanpy.host.disk_work import DiskWork, in_time, told_if_late

pytestmark = pytest.mark.asyncio

PATH = Path("/disk/file")
SOON = 0.02


class Disk:
    """One that hangs until it is let go."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.did: list[str] = []
        self.done: list[str] = []
        self.failed: list[str] = []
        self.work = DiskWork[str](
            PATH, done=self.done.append, failed=lambda error: self.failed.append(str(error))
        )

    def write(self, text: str) -> str:
        assert self.goes_on.wait(60)
        if text == "refused":
            raise HostError("cannot write it")
        self.did.append(text)
        return text


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(disk_work, "LATE", SOON)
    return Disk()


async def _until(holds: object) -> None:
    assert callable(holds)
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - threads say nothing
            await asyncio.sleep(0.01)


async def test_disk_that_hangs_is_named_once_and_does_the_last_of_what_it_was_given(disk: Disk) -> None:
    for text in ("first", "second", "third"):
        disk.work.give(partial(disk.write, text))
    await _until(lambda: disk.failed)
    assert disk.work.late
    await asyncio.sleep(5 * SOON)
    assert len(disk.failed) == 1
    assert f"cannot write '{PATH}': no answer from its disk; look at that disk" in disk.failed[0]
    disk.goes_on.set()
    await _until(lambda: not disk.work.busy)
    assert disk.did == disk.done == ["first", "third"]
    assert not disk.work.late


async def test_refusal_is_told_and_the_next_piece_is_done(disk: Disk) -> None:
    disk.goes_on.set()
    disk.work.give(lambda: disk.write("refused"))
    disk.work.give(lambda: disk.write("good"))
    await disk.work.settled(60)
    assert disk.failed == ["cannot write it"]
    assert disk.done == ["good"]


async def test_nobody_waits_for_a_disk_that_is_known_not_to_answer(disk: Disk) -> None:
    disk.work.give(lambda: disk.write("late"))
    await disk.work.settled(10 * SOON)
    async with asyncio.timeout(30):
        await disk.work.settled(3600)
    disk.goes_on.set()


async def test_host_without_a_thread_to_spare_is_an_error_in_one_line(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(disk_work, "Thread", Refused)
    disk.work.give(lambda: disk.write("never"))
    assert disk.failed == [f"cannot write '{PATH}': can't start new thread; raise the limit of tasks"]
    assert not disk.work.busy


async def test_write_that_is_waited_for_fails_in_time_and_is_undone_when_it_comes_late(disk: Disk) -> None:
    undone: list[str] = []
    with pytest.raises(HostError, match="no answer from its disk"):
        await in_time(PATH, lambda: disk.write("late"), undo=lambda: undone.append("undone"))
    disk.goes_on.set()
    await _until(lambda: undone)
    assert disk.did == ["late"]


async def test_write_that_is_waited_for_returns_or_says_why_not(disk: Disk) -> None:
    disk.goes_on.set()
    await in_time(PATH, lambda: disk.write("good"))
    with pytest.raises(HostError, match="cannot write it"):
        await in_time(PATH, lambda: disk.write("refused"))
    assert disk.did == ["good"]


async def test_start_says_once_what_it_waits_for_and_nothing_if_it_need_not(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Path] = []
    monkeypatch.setattr(disk_work, "_log_awaited", said.append)
    with told_if_late(PATH):
        await _until(lambda: said)
    monkeypatch.setattr(disk_work, "LATE", 60)
    with told_if_late(PATH):
        pass
    assert said == [PATH]
