"""TUN devices on the real kernel: made persistent and marked, read back as they are, told from those of others."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network

import pytest

from flanpy.kernel.adapter import NetlinkKernel
from flanpy.model.objects import Address, KernelObject, Key, LinkUp, OtherLink, Route, TunLink
from flanpy.model.ops import Delete, Op, Put, Scope
from flanpy.plan.ownership import split
from tests.netns import Namespace, namespace

pytestmark = pytest.mark.netns

LINK = TunLink("flannel0", 1472)
SCOPE = Scope(frozenset({"flannel0"}))


@pytest.fixture
def here() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def _apply(here: Namespace, *ops: Op) -> list[int]:
    """The errno of each failure."""

    async def work() -> list[int]:
        kernel = NetlinkKernel()
        try:
            return [failure.error.errno for failure in await kernel.apply(ops)]
        finally:
            kernel.close()

    return here.do(lambda: asyncio.run(work()))


def _read(here: Namespace) -> dict[Key, KernelObject]:
    async def work() -> dict[Key, KernelObject]:
        kernel = NetlinkKernel()
        try:
            return dict(await kernel.read_back(SCOPE))
        finally:
            kernel.close()

    return here.do(lambda: asyncio.run(work()))


def test_tun_device_is_persistent_with_its_mtu_and_our_mark(here: Namespace) -> None:
    assert _apply(here, Put(LINK)) == []
    assert _read(here)[LINK.key] == LINK
    (shown,) = here.json("-d link show flannel0")
    assert shown["ifalias"] == "flanpy"
    assert shown["linkinfo"]["info_data"]["persist"]
    assert shown["linkinfo"]["info_data"]["vnet_hdr"]


def test_address_and_route_stand_on_a_tun_device_that_nobody_has_open(here: Namespace) -> None:
    objects = (
        LINK,
        Address("flannel0", IPv4Interface("10.50.10.0/32")),
        LinkUp("flannel0"),
        Route(IPv4Network("10.50.0.0/16"), "flannel0"),
    )
    assert _apply(here, *(Put(obj) for obj in objects)) == []
    assert set(_read(here).values()) == set(objects)


def test_mtu_and_alias_are_changed_in_place(here: Namespace) -> None:
    _apply(here, Put(LINK))
    index = here.json("link show flannel0")[0]["ifindex"]
    assert _apply(here, Put(TunLink("flannel0", 1372), LINK)) == []
    assert _read(here)[LINK.key] == TunLink("flannel0", 1372)
    assert here.json("link show flannel0")[0]["ifindex"] == index


def test_device_of_that_name_is_never_replaced(here: Namespace) -> None:
    here.ip("link add flannel0 type bridge")
    assert _apply(here, Put(LINK)) == [errno.EEXIST]
    assert _read(here)[LINK.key] == OtherLink("flannel0", "bridge")


def test_tun_device_of_an_operator_is_foreign(here: Namespace) -> None:
    here.ip("tuntap add flannel0 mode tun")
    found = _read(here)
    assert found[LINK.key] == TunLink("flannel0", 1500, multi_queue=False, alias="")
    assert LINK.key in split(found).foreign


def test_tap_device_is_none_of_ours(here: Namespace) -> None:
    here.ip("tuntap add flannel0 mode tap")
    assert _read(here)[LINK.key] == OtherLink("flannel0", "tun")


def test_deleting_removes_it_and_deleting_twice_is_no_failure(here: Namespace) -> None:
    _apply(here, Put(LINK))
    assert _apply(here, Delete(LINK), Delete(LINK)) == []
    assert _read(here) == {}


def test_mtu_that_the_kernel_does_not_take_leaves_no_device_behind(here: Namespace) -> None:
    assert _apply(here, Put(TunLink("flannel0", 99_999))) == [errno.EINVAL]
    assert _read(here) == {}
