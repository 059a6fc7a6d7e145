"""The daemon's WireGuard side follows sessions from reading to reading, and tells only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanpy.config import Settings
from flanpy.daemon.wireguard_side import WireguardSide
from flanpy.model.sessions import SessionFaults
from flanpy.model.wireguard import SeenPeer, WgPeer, written
from flanpy.model.world import Policy, World
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.asyncio

NEW = SeenPeer(
    WgPeer(
        "flannel-wg",
        written(bytes([9] * 32)),
        IPv4Address("192.0.2.11"),
        51820,
        (IPv4Network("10.50.11.0/24"),),
    ),
    has_endpoint=True,
)


def settings_in(state_dir: Path) -> Settings:
    return replace(Settings(), state_dir=state_dir)


class Followed:
    """A side without a device, and what it told."""

    def __init__(self, state_dir: Path) -> None:
        self.clock = FakeClock()
        self.told: list[SessionFaults] = []
        self.side = WireguardSide(
            settings_in(state_dir),
            clock=self.clock,
            world=lambda: World(Policy("node-0")),
            on_moved=lambda: None,
            use=lambda _policy: None,
            unusable=lambda _text: None,
            ailing=self.told.append,
        )

    async def read(self, seen: SeenPeer) -> None:
        """Pass five seconds, after which the part has read this."""
        await self.clock.advance(5)
        self.side.part.sessions = (seen,)
        self.side.look()


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    one = Followed(tmp_path)
    yield one
    one.side.close()


async def test_silent_peer_is_told_once_and_its_answer_once(followed: Followed) -> None:
    for count in range(6):
        await followed.read(replace(NEW, sent=148 * (count + 1)))
    (fault,) = followed.told
    assert fault.overdue == (NEW.peer,)
    for count in range(3):
        await followed.read(
            replace(NEW, sent=2000, received=92 + count, handshake=int(followed.clock.wall()))
        )
    assert followed.told[1:] == [SessionFaults()]


async def test_clock_that_is_set_back_is_told_and_moves_no_waiting(followed: Followed) -> None:
    shaken = replace(NEW, sent=148, received=92, handshake=int(followed.clock.wall()))
    await followed.read(shaken)
    followed.clock.jump(-3600)
    await followed.read(shaken)
    (fault,) = followed.told
    assert (fault.ahead, fault.overdue, fault.latest) == ((NEW.peer,), (), shaken.handshake)
