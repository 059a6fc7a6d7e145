"""Keeps the data planes of one tunnel running: opens what they need, starts them, gives them the table, watches them.

Level-triggered: `hold` says what should run and makes good whatever is missing of it; what breaks later is noticed
here (`on_down`) and repaired by the next `hold`. The filters of the in-kernel plane outlive us, the process of the
user-space plane ends with us. Must not: decide who is a peer, or retry by itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.log import get_logger
from flanpy.model.objects import TunnelEnd, TunnelPeer
from flanpy.model.tunnel import TunnelRow, TunnelTable
from flanpy.netlink.framing import packed
from flanpy.outage import Transition
from flanpy.udp.patience import patiently
from flanpy.udp.ports import Counts, Forwarder, Workshop
from flanpy.udp.taken_port import open_soon, wait_free
from flanpy.udp.totals import RunningTotal

log = get_logger()

LOOK_INTERVAL = 0.2
"""Seconds between two looks at the process, the device and the filters."""

ANSWER_PATIENCE = 0.5
"""Seconds that the process may take to answer before it is held to hang, and is killed."""

START_PATIENCE = 20.0
"""Seconds that the process may take to start: it is a Python of its own on a machine that may be busy."""

CALM = 10.0
"""Seconds after which a process that ends is not one that cannot stay up."""

FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0
"""Seconds before one that does not stay up is reported again, doubled each time."""


class Plane(Enum):
    """The value is the label in metrics."""

    KERNEL = "kernel"
    USER = "user"


@dataclass(slots=True)
class _Openings:
    """The process's resources: queues of the TUN device with this index, and the socket on the underlay."""

    index: int
    queues: tuple[int, ...]
    socket: socket.socket

    def close(self) -> None:
        for queue in self.queues:
            os.close(queue)
        self.socket.close()


class Supervisor:
    """Make it in a running event loop. `on_down` is called, from the loop, when something no longer stands.

    Or when what kept it from standing is gone; `on_up` each time after it was put up.
    """

    def __init__(
        self,
        workshop: Workshop,
        clock: Clock,
        on_down: Callable[[], None],
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._workshop = workshop
        self._clock = clock
        self._on_down = on_down
        self._on_up = on_up
        self._end: TunnelEnd | None = None
        self._fault = ""
        self._port_taken = False
        self._openings: _Openings | None = None
        self._forwarder: Forwarder | None = None
        self._watch: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Counts] | None = None
        self._generation = 0
        self._started_at = float("-inf")
        self._short_lives = 0
        self._outage = Transition()
        self.totals = {plane: RunningTotal() for plane in Plane}
        self.starts = 0

    @property
    def standing(self) -> TunnelEnd | None:
        """The end that runs now, whole; None if none does."""
        return None if self._fault else self._end

    @property
    def pid(self) -> int | None:
        """The process of the user-space plane."""
        return self._forwarder.pid if self._forwarder is not None else None

    async def hold(self, end: TunnelEnd, peers: Iterable[TunnelPeer]) -> None:
        """Let this tunnel run, with this table. Raises KernelError; then nothing is known to run."""
        await self._stop_watching()
        table = _table(end, peers)
        self._fault = self._fault or "it is being changed"
        try:
            await self._open(end)
            # The filters first: they are there in a moment, and our lease has promised them already.
            self._set_fast_path(end, table)
            await self._push(table)
        except BaseException as error:
            self._fault = str(error) or type(error).__name__
            raise
        self._end, self._fault = end, ""
        self._note_up()
        self._on_up()
        self._watch = asyncio.create_task(self._look_on(end), name="udp_watch")

    async def stop(self, *, detach: bool) -> None:
        """End the process; with `detach` remove the filters too, of whatever run. Raises KernelError for those."""
        await self._stop_watching()
        self._end, self._fault = None, ""
        self._drop_forwarder()
        self._close()
        if detach and self._workshop.fast_path is not None:
            self._workshop.fast_path.detach()

    async def count(self) -> None:
        """Ask both planes for their counters."""
        fast = self._workshop.fast_path
        if fast is not None and self._end is not None and self._end.fast:
            self.totals[Plane.KERNEL].heard(fast.counters())
        if self._forwarder is not None:
            question = patiently(self._forwarder.counters(), ANSWER_PATIENCE)
            self._asking = asyncio.create_task(question, name="udp_counters")
            self.totals[Plane.USER].heard(await asyncio.shield(self._asking))

    # making good what is missing

    async def _open(self, end: TunnelEnd) -> None:
        """Queues and socket for this end; those that are open stay if they still lead where they should."""
        index = _index_of(end.link)
        known = self._openings
        if known is not None and known.index == index and _bound_to(known.socket, end):
            return
        self._drop_forwarder()
        self._close()
        # The port first: an opened queue is a change of the device, which would have a host that waits read back again.
        sock = await self._bound(end)
        try:
            queues = self._workshop.open_queues(end.link)
        except BaseException:
            sock.close()
            raise
        self._openings = _Openings(index, queues, sock)

    async def _bound(self, end: TunnelEnd) -> socket.socket:
        """The socket; while another program has the port, that one's end is watched for."""
        known, self._port_taken = self._port_taken, False
        try:
            if known:  # no patience twice: a pass that takes long has the next one wait
                return self._workshop.open_socket(end.local, end.port)
            return await open_soon(self._workshop.open_socket, end.local, end.port, self._clock)
        except KernelError as error:
            if error.errno == errno.EADDRINUSE:
                self._port_taken = True
                self._watch = asyncio.create_task(self._await_port(end), name="udp_port_watch")
            raise

    async def _await_port(self, end: TunnelEnd) -> None:
        await wait_free(self._workshop.open_socket, end.local, end.port, self._clock)
        self._on_down()

    async def _push(self, table: TunnelTable) -> None:
        """Give the process the whole table, and start one first if none runs."""
        fresh = self._forwarder is None
        forwarder = self._forwarder or await self._start()
        self._generation += 1
        patience = START_PATIENCE if fresh else ANSWER_PATIENCE
        try:
            await patiently(forwarder.set_table(table, self._generation), patience)
        except (TimeoutError, KernelError) as error:
            self._drop_forwarder()
            raise KernelError(f"the user-space data plane did not take its table: {error}") from error

    async def _start(self) -> Forwarder:
        openings = self._openings
        assert openings is not None
        try:
            self._forwarder = await patiently(
                _awaited(self._workshop, openings.queues, openings.socket), START_PATIENCE
            )
        except TimeoutError as error:
            raise KernelError(f"the user-space data plane did not start: {error}") from error
        self.starts += 1
        self._started_at = self._clock.monotonic()
        return self._forwarder

    def _set_fast_path(self, end: TunnelEnd, table: TunnelTable) -> None:
        fast = self._workshop.fast_path
        if fast is None:
            if end.fast:
                raise KernelError("the in-kernel data plane cannot run here", errno=errno.EOPNOTSUPP)
        elif not end.fast:
            if fast.remains():
                fast.detach()
        elif self._end == end and fast.standing(end):
            fast.set_table(table)
        else:
            self.totals[Plane.KERNEL].restarted()
            fast.attach(end, table)

    # watching

    async def _look_on(self, end: TunnelEnd) -> None:
        """Until something is wrong."""
        ended = asyncio.create_task(self._ended(), name="udp_forwarder_end")
        try:
            while not (fault := await self._look(end, ended)):
                await asyncio.wait({ended}, timeout=LOOK_INTERVAL)
        finally:
            ended.cancel()
        await self._down(fault)

    async def _ended(self) -> str:
        assert self._forwarder is not None
        return await self._forwarder.wait_ended()

    async def _look(self, end: TunnelEnd, ended: asyncio.Task[str]) -> str:
        """Return the plane's fault, "" if it has none. The device comes first: its end also ends the process."""
        try:
            if self._openings is None or _index_of(end.link) != self._openings.index:
                self._drop_forwarder()
                return f"{end.link} was deleted"
            if ended.done():
                self._drop_forwarder()
                self._note_short_life()
                return f"its process ended: {ended.result()}"
            fast = self._workshop.fast_path
            if end.fast and fast is not None and not fast.standing(end):
                return f"the filters on {end.link} and {end.underlay} were removed"
            await self.count()
        except TimeoutError as error:
            self._drop_forwarder()
            self._note_short_life()
            return f"its process hangs: {error}"
        except KernelError as error:
            self._drop_forwarder()
            if error.errno != errno.ENODEV:
                self._note_short_life()
            return str(error)
        return ""

    async def _down(self, fault: str) -> None:
        self._fault = fault
        if self._outage.failed(self._clock.monotonic(), reason=fault):
            log.warning("data_plane_lost", reason=fault, action="it is put up again")
        if self._forwarder is None and self._short_lives > 1:
            await self._clock.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._short_lives - 2, 16)))
        self._on_down()

    def _note_short_life(self) -> None:
        """A process that went by itself soon after its start may do so again."""
        calm = self._clock.monotonic() - self._started_at >= CALM
        self._short_lives = 0 if calm else self._short_lives + 1

    def _note_up(self) -> None:
        if ended := self._outage.succeeded(self._clock.monotonic()):
            log.info("data_plane_restored", outage=round(ended.seconds, 3), count=ended.count)

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._asking is not None:
            # A question that is under way is let be answered, or its answer would be taken for that to the next.
            await asyncio.wait({self._asking})
            self._asking.exception()
            self._asking = None

    def _drop_forwarder(self) -> None:
        if self._forwarder is not None:
            self._forwarder.kill()
            self._forwarder = None
            self.totals[Plane.USER].restarted()

    def _close(self) -> None:
        if self._openings is not None:
            self._openings.close()
            self._openings = None


async def _awaited(workshop: Workshop, queues: tuple[int, ...], sock: socket.socket) -> Forwarder:
    return await workshop.spawn(queues, sock)


def _table(end: TunnelEnd, peers: Iterable[TunnelPeer]) -> TunnelTable:
    rows = tuple(TunnelRow(peer.subnet, peer.peer, peer.fast and end.fast) for peer in peers)
    return TunnelTable(end.local, end.port, end.mtu, end.own, rows, end.quiet)


def _index_of(link: str) -> int:
    """The link's index; raises KernelError (ENODEV) if there is none."""
    try:
        return socket.if_nametoindex(os.fsdecode(packed(link)))
    except OSError as error:
        raise KernelError(f"there is no link {link}", errno=errno.ENODEV) from error


def _bound_to(sock: socket.socket, end: TunnelEnd) -> bool:
    with suppress(OSError):
        return bool(sock.getsockname() == (str(end.local), end.port))
    return False
