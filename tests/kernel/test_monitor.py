"""The monitor on a real kernel: what it tells, and what it leaves untold."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, ip_network
from pathlib import Path

import pytest

from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.events import EventSocket, filter_program
from flanpy.kernel.monitor import Monitor
from flanpy.kernel.port import Moved
from flanpy.kernel.request import open_netlink
from flanpy.kernel.underlay import UnderlayChoice
from flanpy.model.address import Mac
from flanpy.model.facts import HostFacts, HostRoute
from flanpy.model.objects import (
    Address,
    FdbEntry,
    HostSysctl,
    KernelObject,
    LinkFeature,
    LinkUp,
    Neighbour,
    Route,
    VxlanLink,
)
from flanpy.model.ops import Delete, Op, Put
from tests.netns import Namespace, namespace, opened_kernel

pytestmark = pytest.mark.netns

NAME = "flannel.7"
NETWORK = IPv4Network("10.50.0.0/16")
VTEP = VxlanLink(NAME, 7, 8472, "eth0", IPv4Address("172.16.0.1"), Mac.parse("02:00:5e:00:00:01"), 1450)
CHECKSUM = LinkFeature(NAME, "tx-checksum-ip-generic", enabled=False)
DEADLINE_S = 60.0


@dataclass
class Ear:
    """A sink that a test can wait on."""

    moved: list[Moved] = field(default_factory=list)
    facts: list[HostFacts] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def facts_changed(self, facts: HostFacts) -> None:
        self.facts.append(facts)
        self.news.set()

    def kernel_moved(self, moved: Moved) -> None:
        self.moved.append(moved)
        self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()


@dataclass
class Scene:
    here: Namespace
    kernel: NetlinkKernel
    monitor: Monitor
    ear: Ear

    async def hears(self, moved: Moved) -> None:
        """Wait until `moved` is told, then forget what was told."""
        await self.ear.until(lambda: moved in self.ear.moved)
        self.ear.moved.clear()

    async def quiet(self) -> None:
        """Let everything that is on its way arrive: facts change on an event that comes after it all."""
        marker = IPv4Address(f"127.9.0.{len(self.ear.facts) % 250 + 1}")
        self.here.ip(f"addr add {marker}/32 dev lo")
        await self.knows(lambda facts: marker in facts.addresses)
        self.here.ip(f"addr del {marker}/32 dev lo")
        await self.knows(lambda facts: marker not in facts.addresses)

    async def knows(self, condition: Callable[[HostFacts], bool]) -> None:
        await self.ear.until(lambda: condition(self.monitor.facts))


@asynccontextmanager
async def scene(choice: UnderlayChoice | None = None) -> AsyncIterator[Scene]:
    """eth0 with a default route, and a running monitor."""
    with namespace() as here, opened_kernel(here) as kernel:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set far0 up")
        here.ip("link set eth0 up")
        here.ip("addr add 172.16.0.1/16 dev eth0")
        here.ip("route add default via 172.16.0.254")
        ear = Ear()
        monitor = Monitor(
            choice or UnderlayChoice(),
            ear,
            writer=kernel,
            open_socket=lambda: here.do(open_netlink),
            settle_s=0.01,
        )
        monitor.watch_links(frozenset({NAME}), (NETWORK,))
        await monitor.start()
        running = asyncio.create_task(monitor.run())
        try:
            yield Scene(here, kernel, monitor, ear)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def overlay() -> AsyncIterator[Scene]:
    """The same with our VTEP, three peers, and nothing left to be told."""
    async with scene() as at:
        objects = [VTEP, CHECKSUM, LinkUp(NAME), *peers(3)]
        assert await at.kernel.apply([Put(obj) for obj in objects]) == ()
        await at.quiet()
        assert at.ear.moved == []
        yield at


def peers(count: int) -> list[KernelObject]:
    bases = [IPv4Address("10.50.0.0") + 64 * n for n in range(count)]
    macs = [Mac(b"\x02\x01\x00" + n.to_bytes(3, "big")) for n in range(count)]
    return [
        *(Neighbour(NAME, base, mac) for base, mac in zip(bases, macs, strict=True)),
        *(FdbEntry(NAME, mac, IPv4Address("172.16.4.0") + n) for n, mac in enumerate(macs)),
        *(Route(IPv4Network((int(base), 26)), NAME, base, onlink=True) for base in bases),
    ]


# facts


@pytest.mark.asyncio
async def test_start_gives_the_whole_picture() -> None:
    async with scene() as at:
        facts = at.monitor.facts
        assert facts.underlay is not None
        assert (facts.underlay.link, facts.underlay.mtu) == ("eth0", 1500)
        assert facts.underlay.address == IPv4Address("172.16.0.1")
        assert set(facts.routes) == {
            HostRoute(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("172.16.0.254")),
            HostRoute(IPv4Network("172.16.0.0/16"), "eth0", None),
        }
        assert {IPv4Address("127.0.0.1"), IPv4Address("172.16.0.1")} <= facts.addresses
        assert (facts.ip_forward, facts.problem) == (False, "")


@pytest.mark.asyncio
async def test_a_changed_mtu_of_the_underlay_is_followed() -> None:
    async with scene() as at:
        at.here.ip("link set eth0 mtu 1400")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.mtu == 1400)


@pytest.mark.asyncio
async def test_a_changed_address_of_the_underlay_is_followed() -> None:
    async with scene() as at:
        at.here.ip("addr add 192.0.2.7/24 dev eth0")
        at.here.ip("addr del 172.16.0.1/16 dev eth0")
        at.here.ip("route replace default via 192.0.2.1")
        await at.knows(lambda f: f.underlay is not None and f.underlay.address == IPv4Address("192.0.2.7"))


@pytest.mark.asyncio
async def test_p21_the_underlay_moves_with_the_default_route() -> None:
    async with scene() as at:
        at.here.ip("link add eth1 type veth peer name far1")
        at.here.ip("addr add 192.0.2.7/24 dev eth1")
        at.here.ip("link set eth1 up")
        at.here.ip("route replace default via 192.0.2.1")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.link == "eth1")


@pytest.mark.asyncio
async def test_p21_an_ecmp_default_takes_its_first_hop_and_says_so() -> None:
    async with scene() as at:
        at.here.ip("link add eth1 type veth peer name far1")
        at.here.ip("addr add 192.0.2.7/24 dev eth1")
        at.here.ip("link set eth1 up")
        at.here.ip("route replace default nexthop via 192.0.2.1 nexthop via 172.16.0.254")
        reason = "eth1: first of the equal default routes by eth1, eth0"
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.reason == reason)


@pytest.mark.asyncio
async def test_p21_a_named_link_is_waited_for_and_taken_when_it_appears() -> None:
    async with scene(UnderlayChoice(iface=("eth9",))) as at:
        assert (at.monitor.facts.underlay, at.monitor.facts.problem) == (None, "iface eth9: no such link")
        at.here.ip("link add eth9 type veth peer name far9")
        at.here.ip("addr add 192.0.2.7/24 dev eth9")
        at.here.ip("link set eth9 up")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.link == "eth9")


@pytest.mark.asyncio
async def test_p21_can_reach_follows_the_route() -> None:
    async with scene(UnderlayChoice(can_reach=IPv4Address("198.51.100.1"))) as at:
        assert at.monitor.facts.underlay is not None
        at.here.ip("link add eth1 type veth peer name far1")
        at.here.ip("addr add 192.0.2.7/24 dev eth1")
        at.here.ip("link set eth1 up")
        at.here.ip("route add 198.51.100.0/24 via 192.0.2.1")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.link == "eth1")


@pytest.mark.asyncio
async def test_p11_an_underlay_made_anew_is_known_by_its_new_index() -> None:
    async with scene(UnderlayChoice(iface=("eth0",))) as at:
        before = at.monitor.facts.underlay
        at.here.ip("link del eth0")
        await at.knows(lambda facts: facts.underlay is None)
        at.here.ip("link add eth0 type veth peer name far0")
        at.here.ip("addr add 172.16.0.1/16 dev eth0")
        at.here.ip("link set eth0 up")
        await at.knows(lambda facts: facts.underlay is not None)
        after = at.monitor.facts.underlay
        assert before is not None
        assert after is not None
        assert after.index != before.index


@pytest.mark.asyncio
async def test_a_renamed_underlay_is_followed() -> None:
    async with scene() as at:
        at.here.ip("link property add dev eth0 altname other0", check=False)
        at.here.ip("link set eth0 down")
        at.here.ip("link set eth0 name wan0")
        at.here.ip("link set wan0 up")
        at.here.ip("route replace default via 172.16.0.254")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.link == "wan0")


@pytest.mark.asyncio
async def test_an_underlay_without_carrier_stays_the_underlay() -> None:
    async with scene() as at:
        at.here.ip("link set far0 down")
        await at.quiet()
        assert at.monitor.facts.underlay is not None
        assert at.monitor.facts.underlay.link == "eth0"


@pytest.mark.asyncio
async def test_our_own_routes_are_no_facts_but_those_of_others_are() -> None:
    async with overlay() as at:
        at.here.ip("route add 192.0.2.0/24 via 172.16.0.9 metric 7")
        theirs = HostRoute(ip_network("192.0.2.0/24"), "eth0", IPv4Address("172.16.0.9"), 7)
        await at.knows(lambda facts: theirs in facts.routes)
        assert not any(route.link == NAME for route in at.monitor.facts.routes)


# what moved


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("ip link del {name}", Moved.LINK),
        ("ip link set {name} mtu 1400", Moved.LINK),
        ("ip link set {name} down", Moved.LINK),
        ("ip link set {name} address 02:00:5e:00:00:99", Moved.LINK),
        ("ip link set {name} type vxlan learning", Moved.LINK),
        ("ip link set {name} alias nobody", Moved.LINK),
        ("ip addr add 10.50.9.0/32 dev {name}", Moved.ADDRESS),
        ("ip neigh del 10.50.0.0 dev {name}", Moved.NEIGHBOUR),
        ("ip neigh replace 10.50.0.0 lladdr 02:00:00:00:00:09 dev {name} nud permanent", Moved.NEIGHBOUR),
        ("ip neigh flush dev {name} nud permanent", Moved.NEIGHBOUR),
        ("bridge fdb del 02:01:00:00:00:00 dev {name} self", Moved.NEIGHBOUR),
        ("bridge fdb replace 02:01:00:00:00:00 dev {name} dst 172.16.9.9 self permanent", Moved.NEIGHBOUR),
        ("ip route del 10.50.0.0/26", Moved.ROUTE),
        ("ip route flush dev {name}", Moved.ROUTE),
        ("ip route replace 10.50.0.0/26 via 172.16.0.9", Moved.ROUTE),
        ("ip route add 10.50.128.0/24 via 172.16.0.9", Moved.ROUTE),
    ],
)
async def test_p13_p14_changes_by_others_are_told(line: str, moved: Moved) -> None:
    async with overlay() as at:
        at.here.run(*line.format(name=NAME).split())
        await at.hears(moved)


@pytest.mark.asyncio
async def test_p04_forwarding_turned_off_is_told_and_known() -> None:
    async with overlay() as at:
        assert await at.kernel.apply([Put(HostSysctl("net.ipv4.ip_forward", "1"))]) == ()
        await at.knows(lambda facts: facts.ip_forward)
        assert at.ear.moved == []
        at.here.sysctl("net/ipv4/ip_forward", "0")
        await at.hears(Moved.SYSCTL)
        await at.knows(lambda facts: not facts.ip_forward)


@pytest.mark.asyncio
async def test_p04_forwarding_turned_off_on_a_link_of_others_is_known_and_on_ours_is_told() -> None:
    async with overlay() as at:
        assert await at.kernel.apply([Put(HostSysctl("net.ipv4.ip_forward", "1"))]) == ()
        await at.knows(lambda facts: facts.ip_forward and not facts.not_forwarding)
        at.here.sysctl("net/ipv4/conf/eth0/forwarding", "0")
        await at.knows(lambda facts: facts.not_forwarding == {"eth0"})
        assert at.ear.moved == []
        at.here.sysctl(f"net/ipv4/conf/{NAME}/forwarding", "0")
        await at.hears(Moved.SYSCTL)
        await at.knows(lambda facts: facts.not_forwarding == {"eth0", NAME})
        at.here.sysctl("net/ipv4/conf/eth0/forwarding", "1")
        await at.knows(lambda facts: facts.not_forwarding == {NAME})
        at.here.sysctl("net/ipv4/ip_forward", "0")
        await at.knows(lambda facts: not facts.ip_forward and not facts.not_forwarding)


@pytest.mark.asyncio
async def test_p04_link_that_comes_with_forwarding_off_by_default_is_known_by_its_name() -> None:
    async with overlay() as at:
        at.here.sysctl("net/ipv4/ip_forward", "1")
        at.here.sysctl("net/ipv4/conf/default/forwarding", "0")
        at.here.ip("link add br0 type bridge")
        await at.knows(lambda facts: facts.not_forwarding == {"br0"})
        at.here.ip("link set br0 name br1")
        await at.knows(lambda facts: facts.not_forwarding == {"br1"})
        at.here.ip("link del br1")
        await at.knows(lambda facts: not facts.not_forwarding)


@pytest.mark.asyncio
async def test_rules_before_main_are_known_with_the_routes_of_their_tables_as_they_change() -> None:
    async with overlay() as at:
        at.here.ip("rule add pref 5270 lookup 52")
        await at.knows(lambda facts: [str(rule) for rule in facts.rules] == ["5270: from all lookup 52"])
        at.here.ip("route add 10.0.0.0/8 dev eth0 table 52")
        at.here.ip("route add 203.0.113.0/24 dev eth0 table 52")
        await at.knows(lambda facts: [str(r) for r in facts.rules[0].routes] == ["10.0.0.0/8 dev eth0"])
        at.here.ip("rule add pref 5000 to 10.50.0.0/16 lookup main")
        await at.knows(lambda facts: [str(rule) for rule in facts.rules] == [
            "5000: from all to 10.50.0.0/16 lookup main", "5270: from all lookup 52",
        ])  # fmt: skip
        at.here.ip("route flush table 52")
        await at.knows(lambda facts: not facts.rules[1].routes)
        at.here.ip("rule del pref 5000")
        at.here.ip("rule del pref 5270")
        await at.knows(lambda facts: not facts.rules)


@pytest.mark.asyncio
async def test_rules_that_marked_packets_or_some_ports_meet_are_of_no_interest() -> None:
    async with overlay() as at:
        at.here.ip("rule add pref 5000 fwmark 0x80000/0xff0000 lookup 52")
        at.here.ip("rule add pref 5001 ipproto tcp dport 22 lookup 52")
        at.here.ip("rule add pref 5002 iif eth0 to 10.50.3.0/24 prohibit")
        at.here.ip("rule add pref 5003 lookup main suppress_prefixlength 0")
        at.here.ip("rule add pref 5004 not fwmark 0xca6c lookup 51820")
        await at.knows(lambda facts: len(facts.rules) == 1)
        await at.quiet()
        (rule,) = at.monitor.facts.rules
        assert str(rule) == "5002: from all to 10.50.3.0/24 iif eth0 drops"
        at.here.ip("rule del pref 5003")
        await at.knows(lambda facts: str(facts.rules[-1]) == "5004: from all lookup 51820")


@pytest.mark.asyncio
async def test_default_route_of_a_table_that_a_rule_asks_leads_to_the_underlay() -> None:
    async with overlay() as at:
        at.here.ip("route del default")
        await at.knows(lambda facts: facts.underlay is None)
        at.here.ip("rule add pref 100 lookup 7")
        at.here.ip("route add default via 172.16.0.254 dev eth0 table 7")
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.link == "eth0")


@pytest.mark.asyncio
async def test_namespace_in_which_no_link_was_ever_up_is_read_as_empty() -> None:
    with namespace(loopback=False) as here:
        monitor = Monitor(UnderlayChoice(), Ear(), open_socket=lambda: here.do(open_netlink), settle_s=0.01)
        facts = await monitor.start()
        monitor.close()
    assert facts.problem.startswith("there is no default route")
    assert (facts.routes, facts.rules) == ((), ())


@pytest.mark.asyncio
async def test_own_address_stays_chosen_though_a_virtual_one_is_listed_first() -> None:
    async with scene() as at:
        own, vip = IPv4Address("172.16.0.1"), IPv4Address("172.16.0.9")
        at.monitor.prefer(frozenset({own}), frozenset())
        at.here.ip(f"addr del {own}/16 dev eth0")
        at.here.ip(f"addr add {vip}/32 dev eth0")
        at.here.ip(f"addr add {own}/16 dev eth0")
        at.here.ip("route add default via 172.16.0.254")
        await at.knows(lambda facts: {own, vip} <= facts.addresses and facts.underlay is not None)
        assert at.monitor.facts.underlay is not None
        assert at.monitor.facts.underlay.address == own
        second = IPv4Address("172.16.0.2")
        at.here.ip(f"addr add {second}/16 dev eth0")
        await at.knows(lambda facts: second in facts.addresses)
        at.monitor.prefer(frozenset({own}), frozenset({own}))  # another node advertises it
        await at.knows(lambda facts: facts.underlay is not None and facts.underlay.address == second)


WRITES: dict[str, list[Op]] = {
    "entries": [Put(Neighbour(NAME, IPv4Address("10.50.3.1"), Mac.parse("02:01:00:00:00:09")))],
    "a setting": [Put(CHECKSUM)],
    "an address": [Put(Address(NAME, IPv4Interface("10.50.3.2/32")))],
}


@pytest.mark.asyncio
@pytest.mark.parametrize("writes", WRITES)
@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (f"link set {NAME} mtu 1280", Moved.LINK),
        (f"addr add 10.50.9.9/32 dev {NAME}", Moved.ADDRESS),
        (f"addr add fd50::9/128 dev {NAME} nodad", Moved.ADDRESS),
    ],
)
async def test_p11_p14_what_others_do_to_our_link_is_told_though_we_write_at_that_moment(
    line: str, moved: Moved, writes: str
) -> None:
    async with overlay() as at:
        at.here.ip(line)  # without a turn of the loop: still queued when we write
        assert await at.kernel.apply(WRITES[writes]) == ()
        await at.hears(moved)


@pytest.mark.asyncio
@pytest.mark.parametrize("line", ["link set eth0 down", "addr flush dev eth0", "link del eth0"])
async def test_p11_p13_our_routes_that_went_with_the_underlay_without_a_word_are_told(line: str) -> None:
    async with overlay() as at:
        await at.kernel.apply([Put(Route(IPv4Network("10.50.99.0/24"), "eth0", IPv4Address("172.16.0.9")))])
        at.here.ip(line)
        await at.hears(Moved.ROUTE)


@pytest.mark.asyncio
async def test_p05_rp_filter_and_proxy_arp_of_our_link_are_told() -> None:
    async with overlay() as at:
        for name in ("rp_filter", "proxy_arp"):
            at.here.sysctl(f"net/ipv4/conf/{NAME}/{name}", "1")
            await at.hears(Moved.SYSCTL)


@pytest.mark.asyncio
async def test_what_others_do_elsewhere_is_not_told() -> None:
    async with overlay() as at:
        at.here.ip("link add eth1 type veth peer name far1")
        at.here.ip("link set eth1 up")
        at.here.ip("addr add 192.0.2.7/24 dev eth1")
        at.here.ip("neigh add 192.0.2.8 lladdr 02:00:00:00:00:09 dev eth1 nud permanent")
        at.here.ip("route add 198.51.100.0/24 via 192.0.2.8")
        at.here.ip("link del eth1")
        await at.quiet()
        assert at.ear.moved == []


@pytest.mark.asyncio
async def test_nothing_that_we_do_ourselves_is_told() -> None:
    async with overlay() as at:
        objects = peers(600)
        changed: list[Op] = [
            Put(FdbEntry(obj.link, obj.mac, IPv4Address("172.16.9.9")), obj)
            for obj in objects
            if isinstance(obj, FdbEntry)
        ]
        address = Address(NAME, IPv4Interface("10.50.9.0/32"))
        batches: list[list[Op]] = [
            [Put(address)],
            [Put(obj) for obj in objects[600:1200] + objects[:600]],
            [Put(obj, obj) for obj in objects],
            changed,
            [Delete(obj) for obj in reversed(objects)],
            [Delete(address)],
            [Put(CHECKSUM)],
        ]
        for batch in batches:
            await at.kernel.apply(batch)
        await at.quiet()
        assert at.ear.moved == []


@pytest.mark.asyncio
async def test_making_and_deleting_our_device_ourselves_is_not_told() -> None:
    async with scene() as at:
        for _ in range(3):
            assert await at.kernel.apply([Put(VTEP), Put(CHECKSUM), Put(LinkUp(NAME))]) == ()
            assert await at.kernel.apply([Delete(VTEP)]) == ()
        await at.quiet()
        assert at.ear.moved == []


@pytest.mark.asyncio
async def test_a_change_by_others_amid_our_burst_is_told() -> None:
    async with overlay() as at:
        objects = peers(3)
        burst = asyncio.create_task(at.kernel.apply([Put(obj, obj) for obj in objects * 1000]))
        await asyncio.sleep(0)
        await asyncio.to_thread(at.here.ip, f"neigh del 10.50.0.0 dev {NAME}")
        await burst
        await at.hears(Moved.NEIGHBOUR)


@pytest.mark.asyncio
async def test_lost_events_are_told_and_listening_goes_on() -> None:
    async with overlay() as at:
        events = at.monitor._events
        assert events is not None
        events._sock.setsockopt(socket.SOL_SOCKET, 33, 2048)
        flood = "\n".join(f"addr add 127.8.{n // 200}.{n % 200 + 1}/32 dev lo" for n in range(300))
        at.here.run("ip", "-batch", "-", stdin=flood)
        await at.hears(Moved.OVERRUN)
        await at.knows(lambda facts: IPv4Address("127.8.1.100") in facts.addresses)
        at.here.ip(f"neigh del 10.50.0.0 dev {NAME}")
        await at.hears(Moved.NEIGHBOUR)


@pytest.mark.asyncio
async def test_a_choice_made_anew_applies_at_once() -> None:
    async with scene() as at:
        at.monitor.choose_by(UnderlayChoice(iface=("absent0",)))
        await at.knows(lambda facts: facts.problem == "iface absent0: no such link")


@pytest.mark.asyncio
async def test_a_stopped_monitor_leaves_no_socket_open() -> None:
    async with scene():
        pass
    before = _sockets()
    async with scene() as at:
        at.here.ip("addr add 127.9.9.9/32 dev lo")
        await at.knows(lambda facts: IPv4Address("127.9.9.9") in facts.addresses)
    assert _sockets() == before


def _sockets() -> int:
    links = list(Path("/proc/self/fd").iterdir())
    return sum(link.exists() and os.readlink(link).startswith("socket:") for link in links)  # noqa: PTH115


# the filter


@pytest.mark.asyncio
async def test_the_kernel_drops_our_own_and_foreign_links_neighbours_by_filter() -> None:
    with namespace() as here, opened_kernel(here) as kernel:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set eth0 up")
        here.ip("link set far0 up")
        (index,) = [link["ifindex"] for link in here.json("link show eth0")]
        events = EventSocket(lambda: here.do(open_netlink))
        try:
            events.attach_filter(kernel.port, [index])
            while events.receive() is not None:
                pass
            ours = Neighbour("eth0", IPv6Address("fd00::1"), Mac.parse("02:00:00:00:00:01"))
            assert await kernel.apply([Put(ours)]) == ()
            here.ip("neigh add fd00::2 lladdr 02:00:00:00:00:02 dev far0 nud permanent")
            assert events.receive() is None
            here.ip("neigh add fd00::3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent")
            assert events.receive() is not None
        finally:
            events.close()


@pytest.mark.asyncio
async def test_the_kernel_takes_the_filter_of_many_links_and_lets_the_last_one_through() -> None:
    assert len(filter_program(1, list(range(1, 5000)))) // 8 <= 4096
    with namespace() as here:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set eth0 up")
        here.ip("link set far0 up")
        (index,) = [link["ifindex"] for link in here.json("link show eth0")]
        events = EventSocket(lambda: here.do(open_netlink))
        try:
            events.attach_filter(1, [*range(10_000, 11_999), index])
            while events.receive() is not None:
                pass
            here.ip("neigh add fd00::2 lladdr 02:00:00:00:00:02 dev far0 nud permanent")
            assert events.receive() is None
            here.ip("neigh add fd00::3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent")
            assert events.receive() is not None
        finally:
            events.close()
