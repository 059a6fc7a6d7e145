"""Properties of the difference, and of the quick ways through a pass, over random kernels and histories."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_interface
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.errors import KernelError
from flanpy.kernel.port import OpFailure
from flanpy.model.address import Mac
from flanpy.model.lease import Lease
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import (
    Address,
    FdbEntry,
    KernelObject,
    Key,
    LinkUp,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    VxlanLink,
)
from flanpy.model.ops import Delete, Op
from flanpy.model.put_order import PutOrder
from flanpy.model.world import World
from flanpy.plan.diff import Difference, diff, objects_by_key
from flanpy.plan.ownership import Observed, split
from flanpy.reconcile.tracking import track
from tests.plan.pipeline import SETTINGS, Run, Standing
from tests.states import DIRECT, DUAL, V4, V6, lease, moved, options, view, world

# Small universes, so that keys meet often.
NAMES = st.sampled_from(["flannel.1", "flannel.2", "flannel-v6.1"])
MACS = st.integers(1, 4).map(lambda number: Mac(bytes([2, 0, 0, 0, 0, number])))
ADDRESSES = st.integers(1, 4).map(lambda number: IPv4Address(f"192.0.2.{number}"))
SUBNETS = st.integers(1, 5).map(lambda number: IPv4Network(f"10.50.{number}.0/24"))


@st.composite
def links(draw: st.DrawFn, alias: st.SearchStrategy[str]) -> VxlanLink:
    name = draw(NAMES)
    port, mtu = draw(st.sampled_from([8472, 4789])), draw(st.sampled_from([1450, 1350]))
    return VxlanLink(
        name,
        int(name[-1]),
        port,
        "eth0",
        draw(ADDRESSES),
        draw(MACS),
        mtu,
        draw(st.booleans()),
        alias=draw(alias),
    )


ON_LINKS: st.SearchStrategy[KernelObject] = st.one_of(
    st.builds(LinkUp, NAMES),
    st.builds(lambda name, at: Address(name, ip_interface((at, 32))), NAMES, ADDRESSES),
    st.builds(Neighbour, NAMES, ADDRESSES, MACS),
    st.builds(FdbEntry, NAMES, MACS, ADDRESSES),
    st.builds(lambda to, name: Route(to, name, to.network_address, onlink=True), SUBNETS, NAMES),
)
DIRECT_ROUTES = st.builds(lambda to, via: Route(to, "eth0", via), SUBNETS, ADDRESSES)
FOREIGN = st.one_of(
    st.builds(lambda to, via: Route(to, "eth1", via, proto=4), SUBNETS, ADDRESSES),
    st.builds(lambda to, via: Route(to, "eth0", via, proto=4), SUBNETS, ADDRESSES),
    st.builds(lambda to: OtherRoute(to, "blackhole", proto=70), SUBNETS),
)


@st.composite
def desires(draw: st.DrawFn) -> Mapping[Key, KernelObject]:
    """Draw the objects that a planner could want: links that are up, and things on them or beside them."""
    wanted = {link.name: link for link in draw(st.lists(links(st.just("flanpy")), max_size=2))}
    rest = draw(st.lists(st.one_of(ON_LINKS, DIRECT_ROUTES), max_size=12))
    ups = [LinkUp(name) for name in wanted]
    fitting = [obj for obj in rest if obj.home == "eth0" or obj.home in wanted]
    return objects_by_key([*wanted.values(), *ups, *fitting])


@st.composite
def kernels(draw: st.DrawFn) -> Standing:
    """Draw the objects that a kernel could hold: links of ours, of flannel and of others, and things on them or
    beside them."""
    ours = draw(st.lists(links(st.sampled_from(["flanpy", "", "else"])), max_size=2))
    others = draw(st.lists(st.builds(OtherLink, NAMES, st.just("dummy")), max_size=1))
    present = objects_by_key([*ours, *others])
    names = {key[1] for key in present}
    ups = [LinkUp(str(name)) for name in sorted(map(str, names)) if draw(st.booleans())]
    rest = draw(st.lists(st.one_of(ON_LINKS, DIRECT_ROUTES, FOREIGN), max_size=12))
    up = {obj.link for obj in ups}
    fitting = [
        obj
        for obj in rest
        if obj.home in {None, "eth0", "eth1"} or obj.home in (up if isinstance(obj, Route) else names)
    ]
    return Standing({**present, **objects_by_key([*ups, *fitting])})


def apply(standing: Standing, difference: Difference) -> None:
    assert standing.carry_out(difference.ops) == ()


def foreign_of(standing: Standing) -> Mapping[Key, KernelObject]:
    return split(standing.read_back()).foreign


@settings(max_examples=150, deadline=None)
@given(kernels(), desires())
def test_carrying_out_a_difference_leaves_nothing_of_it(
    standing: Standing, desired: Mapping[Key, KernelObject]
) -> None:
    before = foreign_of(standing)
    observed = split(standing.read_back())
    difference = diff(desired, observed)
    apply(standing, difference)
    track(observed, difference.ops, ())
    after = split(standing.read_back())
    assert diff(desired, after).ops == ()
    assert {**after.owned} == {**observed.owned}, "what was tracked is what stands"
    assert before.items() <= after.foreign.items(), "foreign objects stay"
    refused = {conflict.wanted.key for conflict in diff(desired, after).conflicts}
    taken = {key[1] for key in refused if key[0] == "link"}
    for key, obj in desired.items():
        excused = key in refused or obj.home in taken or key in after.foreign
        assert excused or after.owned[key] == obj


@settings(max_examples=100, deadline=None)
@given(kernels(), desires())
def test_owned_objects_that_nobody_wants_are_gone(
    standing: Standing, desired: Mapping[Key, KernelObject]
) -> None:
    observed = split(standing.read_back())
    apply(standing, diff(desired, observed))
    surplus = [obj for key, obj in split(standing.read_back()).owned.items() if key not in desired]
    assert all(isinstance(obj, (*SETTINGS, LinkUp)) for obj in surplus)


@settings(max_examples=100, deadline=None)
@given(kernels(), desires())
def test_operations_come_in_the_order_of_phases(
    standing: Standing, desired: Mapping[Key, KernelObject]
) -> None:
    difference = diff(desired, split(standing.read_back()))
    assert all(one.obj.phase >= other.obj.phase for one, other in pairwise(difference.deletes))
    assert all(one.obj.phase <= other.obj.phase for one, other in pairwise(difference.puts))
    links = [op for op in difference.deletes if op.obj.phase is PutOrder.LINK]
    others = [op for op in difference.deletes if op.obj.phase is not PutOrder.LINK]
    assert difference.ops == (*links, *difference.puts, *others)


@settings(max_examples=100, deadline=None)
@given(kernels(), desires())
def test_nothing_is_lost_while_nothing_may_be_replaced(
    standing: Standing, desired: Mapping[Key, KernelObject]
) -> None:
    stood = set(standing.objects)
    difference = diff(desired, split(standing.read_back()), may_replace=False)
    standing.carry_out(difference.puts)
    assert stood <= set(standing.objects)


def _link(port: int) -> VxlanLink:
    mac = Mac(bytes([2, 0, 0, 0, 0, 1]))
    return VxlanLink("flannel.1", 1, port, "eth0", IPv4Address("192.0.2.1"), mac, 1450)


@pytest.mark.parametrize("same_objects", [False, True], ids=["read back", "remembered"])
def test_link_that_needs_a_new_device_is_deleted_and_everything_on_it_is_put_again(
    *, same_objects: bool
) -> None:
    """Also when what was observed are the very objects that are desired, as after our own writes."""
    on_it: list[KernelObject] = [
        LinkUp("flannel.1"),
        Neighbour("flannel.1", IPv4Address("10.50.2.0"), Mac(bytes([2, 0, 0, 0, 0, 2]))),
        Route(IPv4Network("10.50.2.0/24"), "flannel.1", IPv4Address("10.50.2.0"), onlink=True),
    ]
    stands = [one if same_objects else replace(one) for one in on_it]
    observed = Observed(objects_by_key([_link(8472), *stands]))
    difference = diff(objects_by_key([_link(4789), *on_it]), observed)
    assert [op.obj for op in difference.deletes] == [_link(8472)]
    assert [op.obj for op in difference.puts] == [_link(4789), *on_it]
    assert all(put.previous is None for put in difference.puts)


def test_route_that_moves_off_a_leaving_link_is_created_not_changed() -> None:
    """The kernel has dropped it with the link by then."""
    on_link = Route(IPv4Network("10.50.2.0/24"), "flannel.1", IPv4Address("10.50.2.0"), onlink=True)
    direct = Route(IPv4Network("10.50.2.0/24"), "eth0", IPv4Address("192.0.2.2"))
    difference = diff(objects_by_key([direct]), Observed(objects_by_key([_link(8472), on_link])))
    assert difference.deletes == (Delete(_link(8472)),)
    assert [(put.obj, put.previous) for put in difference.puts] == [(direct, None)]


def test_p12_a_mac_is_restored_by_one_op() -> None:
    """Linux drops even permanent neighbours when their link's MAC changes; the kernel port keeps them over it."""
    neighbour = Neighbour("flannel.1", IPv4Address("10.50.2.0"), Mac(bytes([2, 0, 0, 0, 0, 2])))
    fdb = FdbEntry("flannel.1", neighbour.mac, IPv4Address("192.0.2.2"))
    changed = replace(_link(8472), mac=Mac(bytes([2, 9, 9, 9, 9, 9])))
    difference = diff(
        objects_by_key([_link(8472), neighbour, fdb]), Observed(objects_by_key([changed, neighbour, fdb]))
    )
    assert [(put.obj, put.previous) for put in difference.puts] == [(_link(8472), changed)]


# The quick ways: `Run.step` compares each with the slow one.

NETWORKS = st.sampled_from([V4, DUAL, V6, DIRECT, options(V4, vni=7), options(V4, mtu=1300)])


@st.composite
def leases(draw: st.DrawFn, network: NetworkConfig) -> Lease:
    """Also contending ones: few numbers, wide subnets, borrowed addresses, leases made in one transaction."""
    number = draw(st.integers(1, 6))
    made = lease(
        number,
        draw(st.sampled_from([network, V4, DUAL])),
        public=draw(st.sampled_from(["", "", "", "192.0.2.12", "192.0.2.10", "10.50.11.7", "198.51.100.9"])),
        mac=draw(st.sampled_from(["", "", "02:00:00:00:00:02", "02:00:00:00:0a:01"])),
        node_id=draw(st.sampled_from([None, None, "", "node-0"])),
        revision=draw(st.sampled_from([0, 0, 0, 5])),
        reserved=draw(st.booleans()),
    )
    if made.key.subnet is not None and draw(st.integers(0, 9)) == 0:
        made = replace(made, key=replace(made.key, subnet=made.key.subnet.supernet(draw(st.integers(1, 9)))))
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[World]:
    """Most steps change few leases and leave the others the same objects, as the store does."""
    network = draw(NETWORKS)
    own = lease(0, network)
    known: dict[str, Lease] = {}
    steps = []
    current = world(network, own=own)
    for _ in range(draw(st.integers(1, 10))):
        for came in draw(st.lists(leases(network), max_size=3)):
            known[str(came.key)] = came
        for _ in range(draw(st.integers(0, 2)) if known else 0):
            known.pop(draw(st.sampled_from(sorted(known))), None)
            if not known:
                break
        shown = list(known.values())
        if draw(st.booleans()):
            shown.reverse()
        current = replace(current, view=view([own, *shown], listings=draw(st.integers(0, 2))))
        kind = draw(st.integers(0, 11))
        if kind == 0:
            network = draw(NETWORKS)
            own = lease(0, network)
            current = replace(current, network=network, own=own)
        elif kind == 1:
            current = replace(current, own=replace(own, mod_revision=draw(st.integers(1, 99))))
        elif kind == 2:
            current = replace(current, facts=moved(mtu=draw(st.sampled_from([1500, 1400]))))
        elif kind == 3:
            current = replace(current, own_confirmed=draw(st.booleans()))
        steps.append(current)
    return steps


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_quick_passes_do_what_slow_ones_do_on_any_history(history: list[World], data: st.DataObject) -> None:
    foreign = data.draw(st.lists(FOREIGN, max_size=2))
    run = Run(Standing.of(foreign))
    for step in history:
        if data.draw(st.integers(0, 5)) == 0:
            run.read_back()
        run.step(step)
    assert run.failures == []


@dataclass
class Flaky(Standing):
    """Refuses every so many operations, as long as `every` is not 0."""

    every: int = 0
    count: int = 0

    def carry_out(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        failures: list[OpFailure] = []
        for op in ops:
            self.count += 1
            if self.every and self.count % self.every == 0:
                failures.append(OpFailure(op, KernelError("refused", errno.ENOMEM)))
            else:
                failures += super().carry_out([op])
        return tuple(failures)


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(2, 9))
def test_quick_passes_recover_from_operations_that_failed(history: list[World], every: int) -> None:
    flaky = Flaky(every=every)
    run = Run(flaky)
    for step in history:
        before = len(run.failures)
        run.step(step)
        if len(run.failures) > before:
            run.read_back()
    flaky.every = 0
    last = replace(history[-1], own_confirmed=True, view=replace(history[-1].view, listings=3))
    run.settle(last)
    run.read_back()
    assert run.step(last).ops == ()
