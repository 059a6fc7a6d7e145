"""The alarm over a key that leads to another host: raised while the host of before answers, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
import pytest_asyncio

from flanpy.daemon.leasing.takeovers import AGAIN, Takeovers
from flanpy.errors import UnableToAsk
from flanpy.model.address import IPAddress
from flanpy.plan.moving import Step
from tests.fakes.clock import FakeClock
from tests.states import lease, view

pytestmark = pytest.mark.asyncio

WAS = lease(1)
NOW = replace(WAS, record=lease(7).record, mod_revision=900)


class Host:
    """The host of before: it answers, does not, or cannot be asked."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.answers: bool | None = True
        self.told: tuple[str, ...] = ()
        self.takeovers = Takeovers("node-0", clock=self.clock, alive=self._alive, note=self._note)

    async def _alive(self, _: IPAddress) -> bool:
        if self.answers is None:
            raise UnableToAsk("no descriptors")
        return self.answers

    def _note(self, lines: tuple[str, ...]) -> None:
        self.told = lines

    def changes_hands(self) -> None:
        self.takeovers.view_changed(Step(view([WAS]), view([NOW]), [str(NOW.key)]))

    async def look(self, *, answers: bool | None) -> int:
        """Let the next look find that; return the number of alarms after it."""
        self.answers = answers
        await self.clock.advance(AGAIN + 0.1)
        return len(self.told)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    task = asyncio.create_task(made.takeovers.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_alarm_stands_as_long_as_the_host_of_before_answers(host: Host) -> None:
    host.changes_hands()
    assert await host.look(answers=True) == 1
    assert await host.look(answers=True) == 1
    assert await host.look(answers=False) == 0
    assert await host.look(answers=True) == 0, "it is decided"


async def test_host_that_cannot_ask_neither_raises_nor_ends_an_alarm(host: Host) -> None:
    host.answers = None
    host.changes_hands()
    assert await host.look(answers=None) == 0
    assert await host.look(answers=True) == 1, "it asks again"
    assert await host.look(answers=None) == 1
    assert await host.look(answers=False) == 0
