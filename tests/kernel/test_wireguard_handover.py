"""The hand-over from one key of a peer to the next: who is poked, who is made again, and who is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.kernel.wireguard_handover import AGAIN_S, POKE_S, Handover, taken_over
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.wireguard import SeenPeer, WgDevice, WgPeer, written
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.asyncio

LINK = "flannel-wg"


def _key(number: int) -> str:
    return written(bytes([number] * 32))


def _peer(number: int, subnet: int = 11) -> WgPeer:
    return WgPeer(
        LINK, _key(number), IPv4Address("192.0.2.11"), 51820, (IPv4Network(f"10.50.{subnet}.0/24"),)
    )


class Device:
    """A device with one peer, and what was done to it."""

    def __init__(self, own: int, peer: WgPeer) -> None:
        self.own = own
        self.seen = [SeenPeer(peer, has_endpoint=True)]
        self.poked: list[WgPeer] = []
        self.again: list[WgPeer] = []
        self.broken = False

    def standing(self, link: str) -> tuple[WgDevice | None, list[SeenPeer]]:
        if self.broken:
            raise KernelError("the device is gone")
        return WgDevice(link, _key(self.own), 51820), self.seen

    def poke(self, peers: Sequence[WgPeer]) -> None:
        self.poked += peers

    def make_again(self, peer: WgPeer) -> None:
        self.again.append(peer)


@asynccontextmanager
async def followed(own: int = 1, peer: int = 5) -> AsyncIterator[tuple[Device, Handover, FakeClock]]:
    device, clock = Device(own, _peer(peer)), FakeClock()
    handover = Handover(device)
    task = asyncio.create_task(handover.run(clock))
    yield device, handover, clock
    assert not task.done()
    task.cancel()


async def test_peer_with_a_handshake_in_time_is_left_alone() -> None:
    async with followed() as (device, handover, clock):
        handover.begin([_peer(5)])
        await clock.advance(POKE_S / 2)
        device.seen = [replace(device.seen[0], handshake=1)]
        await clock.advance(5)
        assert (device.poked, device.again) == ([], [])


async def test_peer_without_a_handshake_is_poked_once_and_then_made_again_once() -> None:
    async with followed() as (device, handover, clock):
        handover.begin([_peer(5)])
        await clock.advance(POKE_S)
        assert (device.poked, device.again) == ([_peer(5)], [])
        await clock.advance(AGAIN_S)
        assert device.again == [_peer(5)]
        await clock.advance(60)
        assert (len(device.poked), len(device.again)) == (1, 1)


@pytest.mark.parametrize(("own", "peer", "begins"), [(1, 5, True), (9, 5, False)])
async def test_only_the_smaller_key_begins_anew_where_both_changed(own: int, peer: int, begins: bool) -> None:
    async with followed(own, peer) as (device, handover, clock):
        handover.own_changed()
        handover.begin([_peer(peer)])
        await clock.advance(1)
        assert device.poked == [_peer(peer)]
        assert (device.again == [_peer(peer)]) is begins


async def test_device_that_goes_meanwhile_ends_nothing() -> None:
    async with followed() as (device, handover, clock):
        device.broken = True
        handover.begin([_peer(5)])
        await clock.advance(1)
        device.broken = False
        handover.begin([_peer(5)])
        await clock.advance(POKE_S)
        assert device.poked == [_peer(5)]


async def test_new_key_of_a_live_peer_is_followed_and_of_an_idle_one_or_another_subnet_is_not() -> None:
    old, new = _peer(4), _peer(5)
    ops: list[Op] = [Put(new), Delete(old)]
    assert taken_over(ops, (), 1000.0) == (new,)
    assert taken_over(ops, [SeenPeer(old, has_endpoint=True, handshake=900)], 1000.0) == (new,)
    assert taken_over(ops, [SeenPeer(old, has_endpoint=True, handshake=100)], 1000.0) == ()
    assert taken_over([Put(new)], (), 1000.0) == ()
    assert taken_over([Put(_peer(5, subnet=12)), Delete(old)], (), 1000.0) == ()
    assert taken_over([Put(new, _peer(5)), Delete(old)], (), 1000.0) == ()
