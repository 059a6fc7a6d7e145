"""The contract of every `port.Kernel`: the same cases on the fake and on the real kernel in a namespace."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)

import pytest

from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.port import Kernel
from flanpy.model.address import Family, Mac
from flanpy.model.objects import (
    Address,
    BridgePort,
    FdbEntry,
    FloodEntry,
    HostSysctl,
    KernelObject,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    Neighbour,
    Route,
    VxlanLink,
)
from flanpy.model.ops import Delete, Objects, Put, Scope
from tests.fakes.kernel import FakeKernel
from tests.netns import Namespace, namespace, opened_kernel

VTEP = VxlanLink(
    "flannel.7", 7, 8472, "eth0", IPv4Address("172.16.0.1"), Mac.parse("02:00:5e:00:00:01"), 1450
)
VTEP6 = replace(VTEP, name="flannel-v6.8", vni=8, local=IPv6Address("fd16::1"), mtu=1430)
NAME = VTEP.name
CHECKSUM = LinkFeature(NAME, "tx-checksum-ip-generic", enabled=False)
ACCEPT_RA = LinkSysctl(Family.IPV6, NAME, "accept_ra", "0")
FORWARD = HostSysctl("net.ipv4.ip_forward", "1")
SCOPE = Scope(frozenset({NAME, VTEP6.name}), (CHECKSUM, ACCEPT_RA, FORWARD))
BARE = Scope(frozenset({NAME, VTEP6.name}))
MACS = [Mac.parse(f"02:00:5e:00:01:{n:02x}") for n in range(4)]


def peer(number: int, *, version: int = 4) -> tuple[Neighbour, FdbEntry, Route]:
    """The three objects of a peer."""
    if version == 4:
        base: IPv4Address | IPv6Address = IPv4Address("10.50.0.0") + 256 * number
        subnet: IPv4Network | IPv6Network = IPv4Network((int(base), 24))
    else:
        base = IPv6Address("fd50::") + (number << 64)
        subnet = IPv6Network((int(base), 64))
    return (
        Neighbour(NAME, base, MACS[number]),
        FdbEntry(NAME, MACS[number], IPv4Address("172.16.1.0") + number),
        Route(subnet, NAME, base, onlink=True),
    )


@dataclass(frozen=True)
class Host:
    """A kernel under test, with an underlay link `eth0`, and hands to change it from outside."""

    kernel: Kernel
    outside: Namespace | None

    async def put(self, *objects: KernelObject) -> None:
        assert await self.kernel.apply([Put(obj) for obj in objects]) == ()

    async def standing(self, scope: Scope = BARE) -> Objects:
        return await self.kernel.read_back(scope)

    async def errors(self, *ops: Put | Delete) -> list[int]:
        return [failure.error.errno for failure in await self.kernel.apply(ops)]

    def add_bridge(self, name: str) -> None:
        if self.outside is not None:
            self.outside.ip(f"link add {name} type bridge")
        else:
            assert isinstance(self.kernel, FakeKernel)
            self.kernel.host_links[name] = ()

    def delete_eth0(self) -> None:
        if self.outside is not None:
            self.outside.ip("link del eth0")
        else:
            assert isinstance(self.kernel, FakeKernel)
            self.kernel.delete_host_link("eth0")


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.netns)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Host]:
    if kind == "fake":
        yield Host(FakeKernel(), None)
        return
    with namespace() as here, opened_kernel(here) as kernel:
        assert isinstance(kernel, NetlinkKernel)
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set far0 up")
        here.ip("link set eth0 up")
        here.ip("addr add 172.16.0.1/16 dev eth0")
        here.ip("addr add fd16::1/64 dev eth0 nodad")
        yield Host(kernel, here)


@asynccontextmanager
async def with_vtep(kind: str) -> AsyncIterator[Host]:
    async with opened(kind) as host:
        await host.put(VTEP, LinkUp(NAME))
        yield host


@pytest.mark.asyncio
async def test_everything_put_is_read_back_equal(kind: str) -> None:
    async with opened(kind) as host:
        objects: list[KernelObject] = [
            VTEP,
            CHECKSUM,
            ACCEPT_RA,
            Address(NAME, IPv4Interface("10.50.9.0/32")),
            Address(NAME, IPv6Interface("fd50:9::/128")),
            LinkUp(NAME),
            *peer(1),
            *peer(2),
            peer(3, version=6)[0],
            peer(3, version=6)[2],
            Route(IPv4Network("10.50.7.0/24"), "eth0", IPv4Address("172.16.0.7")),
            Route(IPv4Network("10.50.8.0/24"), "eth0", IPv4Address("172.16.0.8"), metric=50),
            FORWARD,
        ]
        await host.put(*objects)
        assert await host.standing(SCOPE) == {obj.key: obj for obj in objects}


@pytest.mark.asyncio
async def test_ipv6_vtep_is_read_back_equal(kind: str) -> None:
    async with opened(kind) as host:
        entry = FdbEntry(VTEP6.name, MACS[0], IPv6Address("fd16::2"))
        await host.put(VTEP6, LinkUp(VTEP6.name), entry)
        assert await host.standing() == {obj.key: obj for obj in (VTEP6, LinkUp(VTEP6.name), entry)}


@pytest.mark.asyncio
async def test_a_link_with_our_alias_is_read_back_whatever_its_name(kind: str) -> None:
    async with with_vtep(kind) as host:
        assert VTEP.key in await host.standing(Scope())


@pytest.mark.asyncio
async def test_creating_fails_with_eexist_when_the_key_is_taken(kind: str) -> None:
    async with with_vtep(kind) as host:
        address = Address(NAME, IPv4Interface("10.50.9.0/32"))
        neighbour, entry, route = peer(1)
        await host.put(address, neighbour, entry, route)
        others: list[KernelObject] = [
            VTEP,
            address,
            replace(neighbour, mac=MACS[2]),
            replace(entry, destination=IPv4Address("172.16.9.9")),
            Route(route.destination, "eth0", IPv4Address("172.16.0.9")),
        ]
        before = await host.standing()
        assert await host.errors(*(Put(obj) for obj in others)) == [errno.EEXIST] * len(others)
        assert await host.standing() == before


@pytest.mark.asyncio
async def test_a_second_device_with_the_same_vni_fails_with_eexist(kind: str) -> None:
    async with with_vtep(kind) as host:
        assert await host.errors(Put(replace(VTEP, name="flannel.70"))) == [errno.EEXIST]


@pytest.mark.asyncio
async def test_p14_changes_with_previous_are_made_in_place(kind: str) -> None:
    async with with_vtep(kind) as host:
        neighbour, entry, route = peer(1)
        await host.put(neighbour, entry, route)
        changes = [
            Put(replace(neighbour, mac=MACS[2]), neighbour),
            Put(replace(entry, destination=IPv4Address("172.16.9.9")), entry),
            Put(Route(route.destination, "eth0", IPv4Address("172.16.0.9")), route),
        ]
        assert await host.errors(*changes) == []
        standing = await host.standing()
        assert [standing[op.obj.key] for op in changes] == [op.obj for op in changes]
        assert len(standing) == 5


@pytest.mark.asyncio
async def test_a_change_creates_what_vanished_meanwhile(kind: str) -> None:
    async with with_vtep(kind) as host:
        objects = peer(1)
        assert await host.errors(*(Put(obj, obj) for obj in objects)) == []
        assert {obj.key for obj in objects} <= set(await host.standing())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        {"mtu": 1400},
        {"mac": MACS[3]},
        {"alias": "other"},
        {"learning": True},
        {"local": ip_address("172.16.0.1"), "mtu": 1300, "mac": MACS[2]},
    ],
)
async def test_p12_link_attributes_change_in_place(kind: str, change: dict[str, object]) -> None:
    async with with_vtep(kind) as host:
        await host.put(*peer(1))
        wanted = replace(VTEP, **change)  # type: ignore[arg-type]
        assert await host.errors(Put(wanted, VTEP)) == []
        standing = await host.standing()
        assert standing[VTEP.key] == wanted
        assert {obj.key for obj in peer(1)} <= set(standing)


@pytest.mark.asyncio
@pytest.mark.parametrize("change", [{"vni": 9}, {"port": 4789}, {"gbp": True}])
async def test_attributes_of_the_device_itself_cannot_change_in_place(
    kind: str, change: dict[str, object]
) -> None:
    async with with_vtep(kind) as host:
        assert await host.errors(Put(replace(VTEP, **change), VTEP)) == [errno.EOPNOTSUPP]  # type: ignore[arg-type]
        assert (await host.standing())[VTEP.key] == VTEP


@pytest.mark.asyncio
async def test_gbp_and_learning_are_set_at_creation(kind: str) -> None:
    async with opened(kind) as host:
        wanted = replace(VTEP, gbp=True, learning=True)
        await host.put(wanted)
        assert (await host.standing())[VTEP.key] == wanted


@pytest.mark.asyncio
async def test_deleting_what_is_not_there_succeeds(kind: str) -> None:
    async with with_vtep(kind) as host:
        address = Address(NAME, IPv4Interface("10.50.9.0/32"))
        neighbour, entry, route = peer(1)
        gone: list[KernelObject] = [
            *(neighbour, entry, route, peer(2, version=6)[2], address),
            *(replace(neighbour, link="absent0"), replace(entry, link="absent0")),
            *(replace(route, link="absent0"), replace(address, link="absent0")),
            *(replace(VTEP, name="absent0"), LinkUp("absent0")),
        ]
        assert await host.errors(*(Delete(obj) for obj in gone)) == []


@pytest.mark.asyncio
async def test_what_is_put_can_be_deleted(kind: str) -> None:
    async with with_vtep(kind) as host:
        objects: list[KernelObject] = [Address(NAME, IPv4Interface("10.50.9.0/32")), *peer(1), *peer(2)]
        await host.put(*objects)
        assert await host.errors(*(Delete(obj) for obj in reversed(objects))) == []
        assert await host.standing() == {VTEP.key: VTEP, ("up", NAME): LinkUp(NAME)}


@pytest.mark.asyncio
async def test_putting_on_an_absent_link_fails_with_enodev(kind: str) -> None:
    async with opened(kind) as host:
        objects: list[KernelObject] = [
            LinkUp(NAME),
            CHECKSUM,
            Address(NAME, IPv4Interface("10.50.9.0/32")),
            *peer(1),
        ]
        assert await host.errors(*(Put(obj) for obj in objects)) == [errno.ENODEV] * len(objects)


@pytest.mark.asyncio
async def test_a_vtep_on_an_absent_parent_fails_with_enodev(kind: str) -> None:
    async with opened(kind) as host:
        assert await host.errors(Put(replace(VTEP, parent="absent0"))) == [errno.ENODEV]


@pytest.mark.asyncio
async def test_a_route_through_a_link_that_is_down_fails_with_enetdown(kind: str) -> None:
    async with opened(kind) as host:
        await host.put(VTEP)
        assert await host.errors(Put(peer(1)[2]), Put(peer(1, version=6)[2])) == [errno.ENETDOWN] * 2


@pytest.mark.asyncio
async def test_a_route_to_a_gateway_out_of_reach_fails(kind: str) -> None:
    async with opened(kind) as host:
        v4 = Route(IPv4Network("10.50.7.0/24"), "eth0", IPv4Address("192.0.2.7"))
        v6 = Route(IPv6Network("fd50:7::/64"), "eth0", IPv6Address("2001:db8::7"))
        assert await host.errors(Put(v4), Put(v6)) == [errno.ENETUNREACH, errno.EHOSTUNREACH]


@pytest.mark.asyncio
async def test_one_failure_stops_none_of_the_others(kind: str) -> None:
    async with with_vtep(kind) as host:
        first, second = peer(1), peer(2)
        nowhere = replace(peer(3)[2], link="absent0")
        objects: list[KernelObject] = [*first, nowhere, first[0], *second]
        failures = await host.kernel.apply([Put(obj) for obj in objects])
        assert [(failure.op.obj, failure.error.errno) for failure in failures] == [
            (nowhere, errno.ENODEV),
            (first[0], errno.EEXIST),
        ]
        assert {obj.key for obj in (*first, *second)} <= set(await host.standing())


@pytest.mark.asyncio
async def test_p11_deleting_a_link_takes_everything_on_it(kind: str) -> None:
    async with with_vtep(kind) as host:
        await host.put(Address(NAME, IPv4Interface("10.50.9.0/32")), *peer(1), peer(2, version=6)[2])
        assert await host.errors(Delete(VTEP)) == []
        assert await host.standing() == {}


@pytest.mark.asyncio
async def test_p11_deleting_the_parent_takes_the_vtep_with_it(kind: str) -> None:
    async with with_vtep(kind) as host:
        await host.put(*peer(1))
        host.delete_eth0()
        assert await host.standing() == {}


@pytest.mark.asyncio
async def test_a_link_that_goes_down_loses_routes_and_neighbours_but_not_its_fdb(kind: str) -> None:
    async with with_vtep(kind) as host:
        address = Address(NAME, IPv4Interface("10.50.9.0/32"))
        address6 = Address(NAME, IPv6Interface("fd50:9::/128"))
        await host.put(address, address6, *peer(1), peer(2, version=6)[2])
        assert await host.errors(Delete(LinkUp(NAME))) == []
        assert set(await host.standing()) == {VTEP.key, address.key, peer(1)[1].key}


@pytest.mark.asyncio
async def test_a_link_that_loses_its_last_ipv4_address_loses_ipv4_routes_and_neighbours(kind: str) -> None:
    async with with_vtep(kind) as host:
        address, second = (Address(NAME, IPv4Interface(text)) for text in ("10.50.8.0/32", "10.50.9.0/32"))
        neighbour6, _, route6 = peer(2, version=6)
        await host.put(address, second, *peer(1), neighbour6, route6)
        assert await host.errors(Delete(address)) == []
        assert {obj.key for obj in peer(1)} <= set(await host.standing())
        assert await host.errors(Delete(second)) == []
        left = {VTEP.key, ("up", NAME), peer(1)[1].key, neighbour6.key, route6.key}
        assert set(await host.standing()) == left


@pytest.mark.asyncio
async def test_settings_of_a_new_link_have_their_defaults_again(kind: str) -> None:
    async with with_vtep(kind) as host:
        assert await host.errors(Put(CHECKSUM), Delete(VTEP), Put(VTEP)) == []
        assert (await host.standing(SCOPE))[CHECKSUM.key] == replace(CHECKSUM, enabled=True)


@pytest.mark.asyncio
async def test_settings_of_an_absent_link_are_left_out(kind: str) -> None:
    async with opened(kind) as host:
        assert set(await host.standing(SCOPE)) == {FORWARD.key}


@pytest.mark.asyncio
async def test_deleting_a_setting_changes_nothing(kind: str) -> None:
    async with with_vtep(kind) as host:
        await host.put(CHECKSUM)
        assert await host.errors(Delete(CHECKSUM)) == []
        assert (await host.standing(SCOPE))[CHECKSUM.key] == CHECKSUM


@pytest.mark.asyncio
async def test_putting_what_is_up_again_succeeds(kind: str) -> None:
    async with with_vtep(kind) as host:
        assert await host.errors(Put(LinkUp(NAME))) == []


NAMED = replace(VTEP, name="fv-10001", vni=10_001, learning=True)
JOINED = BridgePort(NAMED.name, "fb-10001")


@pytest.mark.asyncio
async def test_a_device_floods_to_several_hosts_and_one_of_them_goes_alone(kind: str) -> None:
    async with opened(kind) as host:
        first, second = (FloodEntry(NAMED.name, ip_address(f"172.16.1.{n}")) for n in (1, 2))
        await host.put(NAMED, first, second)
        await host.put(first)
        assert await host.standing() == {obj.key: obj for obj in (NAMED, first, second)}
        assert await host.errors(Delete(first)) == []
        assert await host.standing() == {obj.key: obj for obj in (NAMED, second)}
        assert await host.errors(Delete(second), Delete(second)) == []
        assert await host.standing() == {NAMED.key: NAMED}


@pytest.mark.asyncio
async def test_a_device_joins_a_bridge_leaves_it_and_waits_for_one_that_is_absent(kind: str) -> None:
    async with opened(kind) as host:
        await host.put(NAMED)
        assert await host.errors(Put(JOINED)) == [errno.ENODEV]
        host.add_bridge(JOINED.bridge)
        await host.put(JOINED)
        assert await host.standing() == {obj.key: obj for obj in (NAMED, JOINED)}
        host.add_bridge("fb-10002")
        moved = replace(JOINED, bridge="fb-10002")
        assert await host.errors(Put(moved, JOINED)) == []
        assert (await host.standing())[JOINED.key] == moved
        assert await host.errors(Delete(moved)) == []
        assert await host.standing() == {NAMED.key: NAMED}
