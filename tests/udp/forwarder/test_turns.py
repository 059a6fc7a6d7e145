"""Two processes take from one queue, and packets leave in order all the same."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading

import pytest

from flanpy.udp.forwarder.turns import TurnFlags
from tests.udp.forwarder.rig import End, tunnel
from tests.udp.forwarder.test_datagrams import opened
from tests.udp.forwarder.test_process import DEADLINE_S

NUMBER = struct.Struct("=I")


def test_receiver_takes_nothing_while_the_transmitter_is_awake() -> None:
    turns, taken = TurnFlags(), list[int]()
    turns.take(lambda: taken.append(1))
    assert not taken
    turns.sleep()
    turns.take(lambda: taken.append(2))
    assert taken == [2]
    turns.wake()
    turns.take(lambda: taken.append(3))
    assert taken == [2]


def test_transmitter_that_wakes_lets_the_receiver_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "flanpy.udp.forwarder.turns.MOST_LOOKS", 10**9
    )  # threads take turns, other than processes
    turns, order = TurnFlags(), list[str]()
    turns.sleep()

    def wake() -> None:
        turns.wake()
        order.append("awake")

    def forward() -> None:
        thread.start()
        order.append("taken")

    thread = threading.Thread(target=wake)
    turns.take(forward)
    thread.join(DEADLINE_S)
    assert order == ["taken", "awake"]


def test_transmitter_goes_on_when_the_receiver_ended_in_its_turn() -> None:
    turns = TurnFlags()
    turns.sleep()
    child = os.fork()
    if not child:
        turns.take(lambda: os._exit(0))
    os.waitpid(child, 0)
    turns.wake()


@pytest.mark.netns
@pytest.mark.asyncio
async def test_datagrams_both_ways_arrive_in_the_order_in_which_they_were_sent() -> None:
    async with tunnel() as (one, two):
        found = await asyncio.to_thread(_talk, one, two)
    assert all(numbers == sorted(numbers) and len(numbers) > 100 for numbers in found)


def _talk(one: End, two: End) -> list[list[int]]:
    """Each end answers what it hears by two datagrams of its own count, and starts some by itself."""
    sockets = [end.here.do(lambda end=end: opened(end.address)) for end in (one, two)]  # type: ignore[misc]
    found: list[list[int]] = [[], []]
    threads = [
        threading.Thread(target=_converse, args=(sockets[n], sockets[1 - n].getsockname(), found[n]))
        for n in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    for sock in sockets:
        sock.close()
    return found


def _converse(sock: socket.socket, other: tuple[str, int], found: list[int]) -> None:
    sent = 0
    for _ in range(4):
        sock.sendto(NUMBER.pack(sent := sent + 1), other)
    sock.settimeout(2.0)
    while len(found) < 3000:
        try:
            found.append(NUMBER.unpack(sock.recv(100))[0])
        except TimeoutError:
            return  # the other has heard enough
        for _ in range(1 + len(found) % 2):
            sock.sendto(NUMBER.pack(sent := sent + 1), other)
