"""The watcher of the kernel: keeps HostFacts current, and reports when others changed an object that may be ours.

Owns the event socket, and the reads that follow each event and their rate. Must not: write to the kernel, or decide
on the response to a change.

The reader is a plain callback of the loop: it judges the messages and sets `_stale`; one task reads facts again, at
most once in `settle_s`, regardless of the number of events. Right after each send of our own, `absorb` empties the
queue, so that a burst of our own changes can neither overrun it nor look like others' changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Never, Protocol

from flanpy.errors import KernelError
from flanpy.kernel import host
from flanpy.kernel.ethtool import Ethtool
from flanpy.kernel.events import EventSocket
from flanpy.kernel.notice import Echoes, NoticeBoard, StaleFacts
from flanpy.kernel.port import MonitorSink, Moved
from flanpy.kernel.request import RequestSocket, SocketFactory, Written, open_netlink
from flanpy.kernel.rules import read_rules
from flanpy.kernel.underlay import HostLink, HostPicture, UnderlayChoice, beneath, choose, link_down
from flanpy.log import get_logger
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.bridge import is_named_bridge
from flanpy.model.facts import HostFacts, Underlay
from flanpy.model.objects import MAIN_TABLE
from flanpy.model.offload import LinkDriver
from flanpy.netlink.framing import messages
from flanpy.outage import Transition

log = get_logger()

SETTLE_S = 0.05
_RETRY_S = 1.0
_DATAGRAMS_A_TURN = 256

_WITHIN = frozenset({"veth", "tun"})
"""Drivers of links to containers and guests of this host: in a bridge they come and go, and carry nothing out."""


class KernelWriter(Protocol):
    """The writer that changes the kernel for us: it gives its netlink port id, and reports its writes."""

    @property
    def port(self) -> int: ...

    def tell(
        self, on_written: Written, before_writing: Callable[[], None], on_undone: Callable[[], None]
    ) -> None: ...


class Monitor:
    """The monitor. Make it and `start` it in a running event loop, then `run` it as a task."""

    def __init__(
        self,
        choice: UnderlayChoice,
        sink: MonitorSink,
        *,
        writer: KernelWriter | None = None,
        open_socket: SocketFactory = open_netlink,
        settle_s: float = SETTLE_S,
        on_links: Callable[[Sequence[HostLink]], None] = lambda _: None,
    ) -> None:
        self._choice = choice
        self._sink = sink
        self._open_socket = open_socket
        self._settle_s = settle_s
        self._on_links = on_links
        self._board = NoticeBoard(own_port=writer.port if writer is not None else _NO_PORT)
        self._requests = RequestSocket(open_socket())
        self._ethtool = Ethtool()
        self._events: EventSocket | None = None
        self._filtered: frozenset[int] | None = None
        self._stale = StaleFacts.NOTHING
        self._wake = asyncio.Event()
        self._outage = Transition()
        self._kept: frozenset[IPAddress] = frozenset()
        self._claimed: frozenset[IPAddress] = frozenset()
        self._links: tuple[HostLink, ...] = ()
        self._facts = HostFacts(problem="the kernel was not read yet", kernel=host.kernel_release())
        if writer is not None:
            writer.tell(self.absorb, self.catch_up, self.undone)

    @property
    def facts(self) -> HostFacts:
        return self._facts

    def choose_by(self, choice: UnderlayChoice) -> None:
        """Choose the underlay again (the settings were reloaded)."""
        self._choice = choice
        self._mark(StaleFacts.EVERYTHING)

    def prefer(self, kept: frozenset[IPAddress], claimed: frozenset[IPAddress]) -> None:
        """Choose among several own addresses by these: what is advertised, and what another node advertises."""
        if (kept, claimed) != (self._kept, self._claimed):
            self._kept, self._claimed = kept, claimed
            self._mark(StaleFacts.ROUTES)

    def watch_links(self, names: frozenset[str], networks: Sequence[IPNetwork] = ()) -> None:
        """Report changes to these links and the objects on them, and to routes inside `networks`."""
        if (names, tuple(networks)) == (self._board.links, self._board.networks):
            return
        self._board.links, self._board.networks = names, tuple(networks)
        self._attach_filter()
        self._mark(StaleFacts.ROUTES | StaleFacts.RULES)

    async def start(self) -> HostFacts:
        """Listen first, then read, so that no change is missed in between.

        A kernel that cannot be read now is read again by `run`; the facts say so meanwhile. Raises KernelError if there
        is no socket to listen on.
        """
        self._listen()
        try:
            await self._read(StaleFacts.EVERYTHING)
        except KernelError as error:
            self._unread(error)
            self._facts = replace(self._facts, problem=f"the kernel cannot be read: {error}")
            self._mark(StaleFacts.EVERYTHING)
        return self._facts

    async def run(self) -> Never:
        """Keep the facts current until cancelled."""
        try:
            while True:
                await self._wake.wait()
                await self._refresh()
                await asyncio.sleep(self._settle_s)
        finally:
            self.close()

    def close(self) -> None:
        self._hang_up()
        self._requests.close()
        self._ethtool.close()

    # events

    def catch_up(self) -> None:
        """Take the events queued until now, before our next change, as others' changes."""
        while self._take_queued(None):
            pass

    def absorb(self, written: Sequence[bytearray] = ()) -> None:
        """Take the events queued right after our change, and recognise our own among them."""
        echoes = Echoes(written)
        while self._take_queued(echoes):
            pass
        if echoes.replace_routes:
            self._mark(StaleFacts.ROUTES)

    def undone(self) -> None:
        """Note that a setting of ours was altered so soon that its event was taken for ours."""
        self._sink.kernel_moved(Moved.SYSCTL)

    def _readable(self) -> None:
        self._take_queued(None)

    def _take_queued(self, echoes: Echoes | None) -> bool:
        """Judge the queued events, up to a bound; True if there may be more. One call to the sink for each kind."""
        moved: dict[Moved, None] = {}
        more = True
        try:
            for _ in range(_DATAGRAMS_A_TURN):
                datagram = self._events.receive() if self._events is not None else None
                if datagram is None:
                    more = False
                    break
                if echoes is None or not echoes.contain_raw(datagram):
                    self._judge(datagram, echoes, moved)
        except KernelError as error:
            more = False
            moved = {Moved.OVERRUN: None}
            self._start_over(error)
        for kind in moved:
            self._sink.kernel_moved(kind)
        return more

    def _judge(self, datagram: bytes, echoes: Echoes | None, moved: dict[Moved, None]) -> None:
        for start, end, *_ in messages(datagram):
            notice = self._board.judge(datagram, start, end, echoes=echoes)
            if notice.stale:
                self._mark(notice.stale)
            if notice.stale & StaleFacts.LINKS:
                self._attach_filter()
            if notice.moved is not None:
                moved[notice.moved] = None

    def _mark(self, stale: StaleFacts) -> None:
        self._stale |= stale
        self._wake.set()

    def _listen(self) -> None:
        self._events = EventSocket(self._open_socket)
        self._filtered = None
        self._attach_filter()
        asyncio.get_running_loop().add_reader(self._events.fileno(), self._readable)

    def _hang_up(self) -> None:
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events.fileno())
            self._events.close()
            self._events = None

    def _start_over(self, error: KernelError) -> None:
        """Start over after lost events: the socket is unusable, and no fact is certain."""
        log.warning("kernel_events_lost", error=error, action="reading everything again")
        self._hang_up()
        self._listen()
        self._mark(StaleFacts.EVERYTHING)

    def _attach_filter(self) -> None:
        indices = self._board.indices()
        if self._events is not None and indices != self._filtered:
            self._events.attach_filter(self._board.own_port, indices)
            self._filtered = indices

    # facts

    async def _refresh(self) -> None:
        stale, self._stale = self._stale, StaleFacts.NOTHING
        self._wake.clear()
        before = self._facts
        try:
            await self._read(stale)
        except KernelError as error:
            self._unread(error)
            self._mark(stale)
            await asyncio.sleep(_RETRY_S)
            return
        self._outage.succeeded(asyncio.get_running_loop().time())
        if self._facts != before:
            self._sink.facts_changed(self._facts)

    def _unread(self, error: KernelError) -> None:
        if self._outage.failed(asyncio.get_running_loop().time(), reason=str(error)):
            log.warning("host_facts_unread", error=error, delay=_RETRY_S)

    async def _read(self, stale: StaleFacts) -> None:
        facts = self._facts
        if stale & StaleFacts.LINKS:
            self._links = await host.read_links(self._requests, learn=self._board.learn)
            self._attach_filter()
            self._on_links(self._links)
            placed = frozenset((a, link.name) for link in self._links for a in link.addresses)
            facts = replace(
                facts,
                addresses=frozenset(a for a, _ in placed),
                placed=placed,
                bridges=frozenset(link.name for link in self._links if is_named_bridge(link.name)),
            )
        if stale & StaleFacts.ROUTES:
            ours = self._board.links
            facts = replace(facts, routes=await host.read_routes(self._requests, self._links, ours))
            self._board.routed = frozenset(route.link for route in facts.routes)
        if stale & StaleFacts.RULES or (stale & StaleFacts.LINKS and self._board.tables):
            rules = await read_rules(self._requests, self._links, self._board.networks)
            facts = replace(facts, rules=rules)
            self._board.tables = frozenset(rule.table for rule in rules) - {MAIN_TABLE}
        if stale & (StaleFacts.LINKS | StaleFacts.ROUTES | StaleFacts.RULES):
            facts = await self._chosen(facts)
        if stale & (StaleFacts.LINKS | StaleFacts.FORWARDING):
            facts = await self._with_forwarding(facts, stale)
        self._facts = facts

    async def _with_forwarding(self, facts: HostFacts, stale: StaleFacts) -> HostFacts:
        """Names follow the links: a link that just came was perhaps told of before its name."""
        if stale & StaleFacts.FORWARDING:
            self._board.not_forwarding = await host.read_not_forwarding(self._requests)
            facts = replace(
                facts,
                ip_forward=await host.read_forwarding(self._requests, Family.IPV4),
                ip6_forward=await host.read_forwarding(self._requests, Family.IPV6),
            )
        off = self._board.not_forwarding if facts.ip_forward else frozenset[int]()
        return replace(
            facts, not_forwarding=frozenset(link.name for link in self._links if link.index in off)
        )

    async def _chosen(self, facts: HostFacts) -> HostFacts:
        target = self._choice.can_reach
        reached = None if target is None else await host.reached_link(self._requests, target, self._links)
        ruled = [route for rule in facts.rules for route in rule.routes]
        picture = HostPicture(self._links, facts.routes, reached, tuple(ruled), self._kept, self._claimed)
        chosen = choose(self._choice, picture)
        match chosen:
            case Underlay():
                facts = replace(
                    facts, underlay=replace(chosen, drivers=self._drivers(chosen)), problem="", link_down=""
                )
            case str():
                down = link_down(self._choice, picture)
                facts = replace(facts, underlay=None, problem=chosen, link_down=down)
        return facts

    def _drivers(self, underlay: Underlay) -> tuple[LinkDriver, ...]:
        found = [
            LinkDriver(each.name, self._ethtool.driver(each.name))
            for each in beneath(underlay.index, self._links)
        ]
        return tuple(each for each in found if each.link == underlay.link or each.driver not in _WITHIN)


_NO_PORT = 0xFFFFFFFF
