"""The real adapter where the real kernel has more to say than the port's contract."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TypeVar

import pytest

from flanpy.errors import KernelError
from flanpy.kernel import links
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.readback import read_back
from flanpy.kernel.recall import Recall
from flanpy.kernel.request import SEND_MESSAGES, Parse, RequestSocket, open_netlink
from flanpy.model.address import Mac
from flanpy.model.objects import (
    Blackhole,
    FdbEntry,
    KernelObject,
    LinkUp,
    LocalRoute,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    VxlanLink,
)
from flanpy.model.ops import Delete, Put, Scope
from tests.netns import Namespace, namespace, opened_kernel

pytestmark = pytest.mark.netns

T = TypeVar("T")
NAME = "flannel.7"
VTEP = VxlanLink(NAME, 7, 8472, "eth0", IPv4Address("172.16.0.1"), Mac.parse("02:00:5e:00:00:01"), 1450)
SCOPE = Scope(frozenset({NAME}))
MAC = Mac.parse("02:00:5e:00:01:01")
OTHER_MAC = Mac.parse("02:00:5e:00:01:02")


@asynccontextmanager
async def host() -> AsyncIterator[tuple[Namespace, NetlinkKernel]]:
    """A namespace with an underlay link and our VTEP, up."""
    with namespace() as here, opened_kernel(here) as kernel:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("link set far0 up")
        here.ip("link set eth0 up")
        here.ip("addr add 172.16.0.1/16 dev eth0")
        assert await kernel.apply([Put(VTEP), Put(LinkUp(NAME))]) == ()
        yield here, kernel


def many(count: int) -> list[KernelObject]:
    """The objects of `count` peers, in the order in which they are put."""
    bases = [IPv4Address("10.64.0.0") + 256 * n for n in range(count)]
    macs = [Mac(b"\x02\x01\x00" + n.to_bytes(3, "big")) for n in range(count)]
    return [
        *(Neighbour(NAME, base, mac) for base, mac in zip(bases, macs, strict=True)),
        *(FdbEntry(NAME, mac, IPv4Address("172.16.4.0") + n) for n, mac in enumerate(macs)),
        *(Route(IPv4Network((int(base), 24)), NAME, base, onlink=True) for base in bases),
    ]


@pytest.mark.asyncio
async def test_what_the_kernel_refuses_is_told_as_the_line_that_it_refused() -> None:
    """P13"""
    with namespace() as here, opened_kernel(here) as kernel:
        here.ip("link add eth0 type bridge")
        here.ip("link set eth0 up")
        here.ip("addr add 10.50.2.1/24 dev eth0")
        (failure,) = await kernel.apply([Put(Route(IPv4Network("10.50.2.0/24"), "eth0"))])
    assert str(failure.error).startswith("the kernel refused 'ip route add 10.50.2.0/24 dev eth0 proto 70'")
    assert "(" not in str(failure.error)


@pytest.mark.asyncio
async def test_p14_a_destination_appended_or_replaced_by_others_is_put_right() -> None:
    async with host() as (here, kernel):
        wanted = FdbEntry(NAME, MAC, IPv4Address("172.16.0.2"))
        await kernel.apply([Put(wanted)])
        here.bridge(f"fdb append {MAC} dev {NAME} dst 172.16.0.3 self permanent")
        here.bridge(f"fdb replace {MAC} dev {NAME} dst 172.16.0.4 self permanent")
        found = (await kernel.read_back(SCOPE))[wanted.key]
        assert found == replace(wanted, destination=IPv4Address("172.16.0.4"))
        assert await kernel.apply([Put(wanted, found)]) == ()
        assert _destinations(here, MAC) == ["172.16.0.2"]


@pytest.mark.asyncio
async def test_p14_a_mac_with_several_destinations_is_deleted_with_all() -> None:
    async with host() as (here, kernel):
        group = Mac.parse("01:00:5e:00:00:01")
        for destination in ("172.16.0.2", "172.16.0.3"):
            here.bridge(f"fdb append {group} dev {NAME} dst {destination} self permanent")
        assert len(_destinations(here, group)) == 2
        (found,) = [obj for obj in (await kernel.read_back(SCOPE)).values() if isinstance(obj, FdbEntry)]
        assert await kernel.apply([Delete(found)]) == ()
        assert _destinations(here, group) == []


def _destinations(here: Namespace, mac: Mac) -> list[str]:
    rows = here.json(f"fdb show dev {NAME}", tool="bridge")
    return [row["dst"] for row in rows if row["mac"] == str(mac)]


@pytest.mark.asyncio
async def test_p14_entries_that_the_kernel_made_for_itself_are_replaced() -> None:
    async with host() as (here, kernel):
        neighbour, entry = Neighbour(NAME, IPv4Address("10.50.1.0"), MAC), FdbEntry(NAME, MAC, VTEP.local)
        here.ip(f"neigh add 10.50.1.0 lladdr {OTHER_MAC} nud stale dev {NAME}")
        here.bridge(f"fdb add {MAC} dev {NAME} dst 172.16.0.9 self dynamic")
        assert await kernel.apply([Put(neighbour), Put(entry)]) == ()
        standing = await kernel.read_back(SCOPE)
        assert (standing[neighbour.key], standing[entry.key]) == (neighbour, entry)


@pytest.mark.asyncio
async def test_reading_back_leaves_out_what_is_not_permanent() -> None:
    async with host() as (here, kernel):
        here.ip(f"neigh add 10.50.1.0 lladdr {OTHER_MAC} nud stale dev {NAME}")
        here.bridge(f"fdb add {MAC} dev {NAME} dst 172.16.0.9 self dynamic")
        assert set(await kernel.read_back(SCOPE)) == {VTEP.key, ("up", NAME)}


@pytest.mark.asyncio
async def test_the_owner_of_a_vni_is_named() -> None:
    async with host() as (here, kernel):
        here.ip("link add rival type vxlan id 9 dev eth0 dstport 8472")
        (failure,) = await kernel.apply([Put(replace(VTEP, name="flannel.9", vni=9))])
        assert failure.error.errno == errno.EEXIST
        assert "VNI 9 on UDP port 8472 is used by rival" in str(failure.error)


@pytest.mark.asyncio
async def test_p12_the_address_of_a_new_device_counts_as_set() -> None:
    async with host() as (here, _):
        assert here.do(lambda: _assign_type(here)) == "3"


def _assign_type(here: Namespace) -> str:
    script = f"mount -t sysfs sysfs /sys && cat /sys/class/net/{NAME}/addr_assign_type"
    return here.run("unshare", "--mount", "sh", "-c", script).strip()


@pytest.mark.asyncio
async def test_p12_a_link_whose_mac_is_put_right_keeps_its_neighbours() -> None:
    async with host() as (here, kernel):
        await kernel.apply([Put(obj) for obj in many(3)])
        assert await kernel.apply([Put(replace(VTEP, mac=OTHER_MAC), VTEP)]) == ()
        assert len(here.json(f"neigh show dev {NAME} nud permanent")) == 3


@pytest.mark.asyncio
async def test_the_parent_changes_in_place() -> None:
    async with host() as (here, kernel):
        here.ip("link add eth1 type veth peer name far1")
        wanted = replace(VTEP, parent="eth1", local=IPv4Address("172.16.0.77"))
        assert await kernel.apply([Put(wanted, VTEP)]) == ()
        assert (await kernel.read_back(SCOPE))[VTEP.key] == wanted


@pytest.mark.asyncio
async def test_a_link_of_another_kind_under_our_name_is_told_as_such() -> None:
    async with host() as (here, kernel):
        here.ip("link add flannel.8 type bridge")
        found = await kernel.read_back(Scope(frozenset({"flannel.8"})))
        assert found["link", "flannel.8"] == OtherLink("flannel.8", "bridge")


@pytest.mark.asyncio
async def test_routes_of_shapes_that_we_never_make_are_told_as_such() -> None:
    async with host() as (here, kernel):
        here.ip("route add blackhole 10.50.1.0/24 proto 70")
        here.ip("route add 10.50.2.0/24 nexthop via 172.16.0.2 nexthop via 172.16.0.3")
        here.ip("route add 10.50.3.0/24 via inet6 fe80::9 dev eth0")
        found = await kernel.read_back(SCOPE)
        kinds = {str(o.destination): (o.kind, o.proto) for o in found.values() if isinstance(o, OtherRoute)}
        assert kinds == {
            "10.50.1.0/24": ("blackhole", 70),
            "10.50.2.0/24": ("multipath", 3),
            "10.50.3.0/24": ("via", 3),
        }
        deletions = [Delete(obj) for obj in found.values() if isinstance(obj, OtherRoute)]
        assert await kernel.apply(deletions) == ()
        assert not any(isinstance(obj, OtherRoute) for obj in (await kernel.read_back(SCOPE)).values())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "subnet", [IPv4Network("10.50.1.0/24"), IPv6Network("fd50:0:0:1::/64")], ids=["v4", "v6"]
)
async def test_blackhole_gives_way_to_a_bridge_and_is_found_again(subnet: IPv4Network | IPv6Network) -> None:
    address = subnet.network_address + 1
    async with host() as (here, kernel):
        hole = Blackhole(subnet)
        for _ in range(2):
            assert await kernel.apply([Put(hole)]) == ()
            assert (await kernel.read_back(SCOPE))[hole.key] == hole
            assert not here.run("ip", "route", "get", str(address + 1), check=False)
            here.ip("link add br0 type bridge")
            here.ip("link set br0 up")
            here.ip(f"address add {address}/{subnet.prefixlen} dev br0 nodad")
            assert "dev br0" in here.run("ip", "route", "get", str(address + 1))
            here.ip("link del br0")
            assert await kernel.apply([Delete(hole)]) == ()
            assert hole.key not in await kernel.read_back(SCOPE)


@pytest.mark.asyncio
async def test_address_by_a_route_is_this_host_s_and_is_found_again() -> None:
    async with host() as (here, kernel):
        own = LocalRoute(IPv4Network("169.254.53.53/32"))
        for _ in range(2):
            assert await kernel.apply([Put(own)]) == ()
            assert (await kernel.read_back(SCOPE))[own.key] == own
            assert here.run("ip", "route", "get", "169.254.53.53").startswith("local 169.254.53.53 dev lo")
            assert here.run("ping", "-nqc1", "-W1", "169.254.53.53")
            assert await kernel.apply([Delete(own)]) == ()
            assert own.key not in await kernel.read_back(SCOPE)


@pytest.mark.asyncio
async def test_deleting_our_route_never_takes_another_to_the_same_destination() -> None:
    async with host() as (here, kernel):
        here.ip("route add 10.50.1.0/24 via 172.16.0.9 metric 100")
        ours = Route(IPv4Network("10.50.1.0/24"), "eth0", IPv4Address("172.16.0.9"))
        assert await kernel.apply([Delete(ours)]) == ()
        assert len(here.json("route show 10.50.1.0/24")) == 1


@pytest.mark.asyncio
async def test_a_batch_of_many_sends_reports_exactly_what_failed() -> None:
    async with host() as (_, kernel):
        objects = many(SEND_MESSAGES)
        taken = objects[:: SEND_MESSAGES // 2 + 1]
        await kernel.apply([Put(obj) for obj in taken])
        failures = await kernel.apply([Put(obj) for obj in objects])
        assert [failure.op.obj for failure in failures] == taken
        assert {failure.error.errno for failure in failures} == {errno.EEXIST}
        standing = await kernel.read_back(SCOPE)
        assert all(standing[obj.key] == obj for obj in objects)


@pytest.mark.asyncio
async def test_every_message_of_a_batch_may_fail() -> None:
    async with host() as (_, kernel):
        objects = many(1000)
        await kernel.apply([Put(obj) for obj in objects])
        assert len(await kernel.apply([Put(obj) for obj in objects])) == len(objects)


@pytest.mark.asyncio
async def test_reading_back_returns_the_very_objects_that_were_put() -> None:
    async with host() as (_, kernel):
        objects = many(5)
        await kernel.apply([Put(obj) for obj in objects])
        for _ in range(2):
            standing = await kernel.read_back(SCOPE)
            assert all(standing[obj.key] is obj for obj in objects)


@pytest.mark.asyncio
async def test_a_renamed_link_gives_its_objects_the_new_name() -> None:
    async with host() as (here, kernel):
        await kernel.apply([Put(obj) for obj in many(1)])
        await kernel.read_back(SCOPE)
        here.ip(f"link set {NAME} down")
        here.ip(f"link set {NAME} name renamed")
        found = await kernel.read_back(Scope())
        assert {getattr(obj, "link", getattr(obj, "name", "")) for obj in found.values()} == {"renamed"}


@pytest.mark.asyncio
async def test_p22_p14_an_ipv6_route_is_replaced_whatever_its_shape_was() -> None:
    async with host() as (here, kernel):
        here.ip("addr add 2001:db8::1/64 dev eth0 nodad")
        subnet, gateway = IPv6Network("fd50:0:0:b::/64"), IPv6Address("fd50:0:0:b::")
        tunnel = Route(subnet, NAME, gateway, onlink=True)
        direct = Route(subnet, "eth0", IPv6Address("2001:db8::b"))
        bare = Route(subnet, NAME)
        standing = None
        for wanted in (direct, tunnel, bare, tunnel, direct, bare, direct):
            assert await kernel.apply([Put(wanted, standing)]) == ()
            assert len(here.json(f"-6 route show {subnet}")) == 1
            standing = wanted
            assert (await kernel.read_back(SCOPE))[wanted.key] == wanted


@pytest.mark.asyncio
async def test_p22_p14_a_bare_ipv6_route_put_beside_ours_is_seen_and_replaced() -> None:
    async with host() as (here, kernel):
        subnet = IPv6Network("fd50:0:0:b::/64")
        wanted = Route(subnet, NAME, IPv6Address("fd50:0:0:b::"), onlink=True)
        await kernel.apply([Put(wanted)])
        here.ip(f"-6 route replace {subnet} dev {NAME} proto 70")
        found = (await kernel.read_back(SCOPE))[wanted.key]
        assert found == replace(wanted, gateway=None, onlink=False)
        assert await kernel.apply([Put(wanted, found)]) == ()
        (line,) = here.json(f"-6 route show {subnet}")
        assert line["gateway"] == "fd50:0:0:b::"


@pytest.mark.asyncio
async def test_p11_a_link_that_vanishes_while_it_is_read_is_not_there() -> None:
    class Robbed(RequestSocket):
        async def dump(self, message: bytearray, parse: Parse[T]) -> list[T]:
            found = await super().dump(message, parse)
            here.ip(f"link del {NAME}", check=False)  # right after the links were listed, and ever after
            return found

    async with host() as (here, _):
        robbed = Robbed(here.do(open_netlink))
        try:
            objects = await read_back(robbed, SCOPE, old=Recall(), new=Recall())
        finally:
            robbed.close()
        assert not [key for key in objects if NAME in key]


@pytest.mark.asyncio
async def test_a_cancelled_reading_leaves_the_socket_usable() -> None:
    async with host() as (_, kernel):
        objects = many(3000)
        await kernel.apply([Put(obj) for obj in objects])
        for turns in (5, 20, 40):
            task = asyncio.ensure_future(kernel.read_back(SCOPE))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(await kernel.read_back(SCOPE)) == len(objects) + 2


@pytest.mark.asyncio
async def test_reading_and_writing_at_once_do_not_mix_their_answers() -> None:
    async with host() as (_, kernel):
        objects = many(500)
        writing = kernel.apply([Put(obj) for obj in objects])
        results = await asyncio.gather(writing, *(kernel.read_back(SCOPE) for _ in range(5)))
        assert results[0] == ()
        assert len(await kernel.read_back(SCOPE)) == len(objects) + 2


@pytest.mark.asyncio
async def test_a_dead_socket_raises_kernel_error() -> None:
    async with host() as (_, kernel):
        kernel.close()
        with pytest.raises(KernelError, match="netlink socket"):
            await kernel.read_back(SCOPE)
        with pytest.raises(KernelError, match="netlink socket"):
            await kernel.apply([Put(LinkUp(NAME))])


def test_what_differs_after_creation_is_named() -> None:
    assert list(links.differences(VTEP, replace(VTEP, mtu=1400, port=4789))) == [
        "port 4789 instead of 8472",
        "mtu 1400 instead of 1450",
    ]


UNPRIVILEGED = """
import asyncio
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.address import Family, Mac
from flanpy.model.objects import *
from flanpy.model.ops import Put
mac, base = Mac.parse("02:00:5e:00:00:01"), IPv4Address("10.50.1.0")
async def main():
    kernel = NetlinkKernel()
    failures = await kernel.apply([Put(obj) for obj in (
        VxlanLink("flannel.7", 7, 8472, "eth0", IPv4Address("172.16.0.1"), mac, 1450),
        LinkFeature("flannel.7", "tx-checksum-ip-generic", False),
        LinkSysctl(Family.IPV6, "flannel.7", "accept_ra", "0"),
        Address("flannel.7", IPv4Interface("10.50.9.0/32")),
        LinkUp("flannel.7"),
        Neighbour("flannel.7", base, mac),
        FdbEntry("flannel.7", mac, base),
        Route(IPv4Network("10.50.1.0/24"), "flannel.7", base, onlink=True),
        HostSysctl("net.ipv4.ip_forward", "1"),
        HostSysctl("net.ipv6.conf.all.forwarding", "1"),
    )])
    print([str(failure.error) for failure in failures])
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up all but one capability")
def test_everything_works_without_root_given_cap_net_admin() -> None:
    with namespace() as here:
        here.ip("link add eth0 type veth peer name far0")
        here.ip("addr add 172.16.0.1/16 dev eth0")
        here.ip("link set eth0 up")
        argv = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all,+net_admin",
        ]
        argv += ["--inh-caps=+net_admin", "--ambient-caps=+net_admin", sys.executable, "-c", UNPRIVILEGED]
        root = Path(__file__).parents[2]
        done = subprocess.run(
            ["nsenter", f"--net={here.path}", "--", *argv],
            cwd=root, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_pyroute2_stays_importable_whole_after_its_parts_were_taken() -> None:
    script = (
        "import flanpy.netlink.rtnl, sys; assert 'pyroute2' not in sys.modules; from pyroute2 import IPRoute"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_read_back_finds_nothing_where_no_link_was_ever_up() -> None:
    """The kernel makes the main table with the first address; before, it refuses to list it."""
    ask = """
import asyncio
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.ops import Scope

async def ask():
    print(dict(await NetlinkKernel().read_back(Scope())))

asyncio.run(ask())
"""
    told = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", ask],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.stdout, told.stderr) == ("{}\n", "")
