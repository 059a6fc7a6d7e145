"""The two processes of the forwarder, one for each direction, so that each has a core of its own when it needs one.

They share the descriptors and nothing else. When the daemon hangs up, or the other one ends, both end.
"""

from __future__ import annotations

import gc
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from flanpy.model.tunnel import TunnelTable
from flanpy.udp.forwarder.control import Counters, ForwarderControl, no_counts, received_pair
from flanpy.udp.forwarder.lookup import Lookup
from flanpy.udp.forwarder.privileges import die_with_parent, drop
from flanpy.udp.forwarder.receive import UDP_GRO, Receiver
from flanpy.udp.forwarder.transmit import Transmitter
from flanpy.udp.forwarder.turns import TurnFlags


class TunnelDirection(Protocol):
    """One way through the tunnel."""

    def use(self, lookup: Lookup) -> None:
        """Forward by this table from now on."""

    def drain(self) -> None:
        """Forward what waits. Raises OSError when the device is gone."""


def run(transmit_control: int, receive_control: int) -> NoReturn:
    """Fork, wait for what to forward between, and forward until the daemon hangs up. Both are descriptors.

    The fork comes first: no packet waits for it.
    """
    counts, turns = no_counts(), TurnFlags()
    gc.freeze()  # what is imported stays: nothing to be looked through while packets wait
    parent = os.getpid()
    child = os.fork()
    drop()
    if child == 0:
        die_with_parent(parent)
        os.close(receive_control)
        control = socket.socket(fileno=transmit_control)
        queue, sock = _handed(control)
        _serve(queue, (Transmitter(queue, sock, counts),), control, counts, turns=turns)
    os.close(transmit_control)
    other = os.pidfd_open(child)
    control = socket.socket(fileno=receive_control)
    queue, sock = _handed(control)
    answering = Transmitter(queue, sock, counts)
    receiver = Receiver(queue, sock, counts, lambda: turns.take(answering.forward_one))
    _serve(sock.fileno(), (receiver, answering), control, counts, other=other)
    os._exit(0)


def _handed(control: socket.socket) -> tuple[int, socket.socket]:
    """The TUN queue and the UDP socket; ends the process if the daemon hangs up instead."""
    pair = received_pair(control)
    if pair is None:
        os._exit(0)
    queue, tunnel = pair
    sock = socket.socket(fileno=tunnel)
    sock.setblocking(True)  # to send; a full buffer is the underlay's own back-pressure
    ask_for_bulk(sock)
    return queue, sock


def ask_for_bulk(sock: socket.socket) -> None:
    """Let datagrams come many at once, each bulk with its TOS."""
    with suppress(OSError):  # Linux 5.0; without it datagrams come one by one
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)


def _serve(
    source: int,
    directions: tuple[TunnelDirection, ...],
    sock: socket.socket,
    counts: Counters,
    *,
    turns: TurnFlags | None = None,
    other: int | None = None,
) -> NoReturn:
    """Drain the first direction. `other` becomes readable when the other process has ended."""

    def use(table: TunnelTable) -> None:
        lookup = Lookup(table)
        for direction in directions:
            direction.use(lookup)
        poll.register(source, select.POLLIN)  # until the first table packets wait: nobody is unreachable yet

    control = ForwarderControl(sock, use, counts)
    actions: dict[int, Callable[[], bool | None]] = {
        source: directions[0].drain,
        control.fileno(): control.answer,
    }
    poll = select.poll()
    for descriptor in (control.fileno(), *(() if other is None else (other,))):
        poll.register(descriptor, select.POLLIN)
    try:
        while True:
            if turns is not None:
                turns.sleep()
            ready = poll.poll()
            if turns is not None:
                turns.wake()
            for descriptor, _events in ready:
                if descriptor == other or actions[descriptor]() is False:
                    os._exit(0)
    except OSError as error:
        os.write(2, f"flanpyd: the udp forwarder ends: {error}\n".encode())
        os._exit(1)
