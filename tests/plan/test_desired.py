"""Planning from what was planned before: the same objects, the keys that changed, and no peer planned twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from flanpy.model.lease import Lease
from flanpy.model.objects import HostSysctl, KernelObject, Key, Route
from flanpy.plan.desired import Planned, plan_all, plan_from
from tests.states import lease

DEVICE = HostSysctl("device", "1")
SETTING = HostSysctl("setting", "1")
ONE, TWO, THREE = lease(1), lease(2), lease(3)


@dataclass(frozen=True, slots=True)
class Toy:
    """A route for each peer by the link of this planner; `without` are nodes that it has no path to."""

    link: str = "flannel.1"
    without: frozenset[str] = frozenset()
    planned: list[Lease] = field(default_factory=list, compare=False)

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        return (DEVICE,)

    def peer(self, lease: Lease) -> Iterable[KernelObject]:
        self.planned.append(lease)
        assert lease.key.subnet is not None
        yield Route(lease.key.subnet, self.link, lease.record.public_ip)

    def unreached(self, lease: Lease) -> bool:
        return lease.record.node_id in self.without


def planned(*peers: Lease, planner: Toy | None = None, settings: tuple[KernelObject, ...] = ()) -> Planned:
    return plan_from(None, planner or Toy(), settings, peers)


def again(
    before: Planned,
    peers: Iterable[Lease],
    *,
    settings: tuple[KernelObject, ...] = (),
    planner: Toy | None = None,
) -> tuple[Planned, list[Lease]]:
    """Plan on, and hold it to planning from nothing; return it with the leases that were planned for it."""
    here = planner if planner is not None else before.planner
    assert isinstance(here, Toy)
    here.planned.clear()
    found = plan_from(before, here, settings, peers if isinstance(peers, tuple) else tuple(peers))
    leases = [*here.planned]
    assert found.objects == plan_all(here, settings, found.peers)
    assert [*found.unreached.values()] == [one for one in found.peers if here.unreached(one)]
    assert {*found.unreached} == {id(one) for one in found.unreached.values()}
    return found, leases


def key_of(one: Lease) -> Key:
    assert one.key.subnet is not None
    return Route(one.key.subnet, "flannel.1").key


def test_first_plan_has_the_device_the_settings_and_every_peer() -> None:
    found, leases = again(planned(), (ONE, TWO), settings=(SETTING,))
    assert leases == [ONE, TWO]
    assert found.changed is None
    assert [*found.objects] == [DEVICE.key, SETTING.key, key_of(ONE), key_of(TWO)]


def test_same_peers_and_settings_change_nothing_and_cost_nothing() -> None:
    before = planned(ONE, TWO, settings=(SETTING,))
    found, leases = again(before, before.peers, settings=(SETTING,))
    assert (found.changed, leases) == ((), [])
    assert found.objects is before.objects


def test_setting_that_came_is_planned_and_no_peer_is() -> None:
    before = planned(ONE, TWO)
    found, leases = again(before, before.peers, settings=(SETTING,))
    assert (found.changed, leases) == (None, [])
    assert SETTING.key in found.objects


def test_lease_that_came_and_one_that_went_are_all_that_changed() -> None:
    before = planned(ONE, TWO)
    found, leases = again(before, (TWO, THREE))
    assert leases == [THREE]
    assert {*(found.changed or ())} == {key_of(ONE), key_of(THREE)}
    assert again(found, found.peers)[0].changed == ()
    assert key_of(ONE) in before.objects, "what was planned before stays as it was"


def test_lease_and_setting_that_came_together_are_both_planned() -> None:
    found, leases = again(planned(ONE), (ONE, TWO), settings=(SETTING,))
    assert (found.changed, leases) == (None, [TWO])


def test_other_ground_plans_every_peer_anew() -> None:
    before = planned(ONE, TWO)
    found, leases = again(before, before.peers, planner=Toy("flannel.2"))
    assert (found.changed, leases) == (None, [ONE, TWO])


def test_peers_without_a_path_are_named_and_forgotten_with_their_lease() -> None:
    planner = Toy(without=frozenset({"node-1", "node-3"}))
    before = planned(ONE, TWO, planner=planner)
    assert [*before.unreached.values()] == [ONE]
    both, _ = again(before, (ONE, TWO, THREE))
    assert both.changed is not None
    last, _ = again(both, (TWO, THREE))
    assert last.changed is not None
    assert [*last.unreached.values()] == [THREE]
    assert [*again(last, (TWO, THREE), settings=(SETTING,))[0].unreached.values()] == [THREE]


def test_object_that_two_leases_want_is_the_later_ones_and_stays_until_both_are_gone() -> None:
    twin = replace(TWO, key=ONE.key)
    shared, _ = again(planned(ONE), (ONE, twin))
    assert shared.changed is None
    for rest in ((ONE,), (twin,)):
        left, leases = again(shared, rest)
        assert (left.changed, leases) == (None, [])
    assert again(planned(ONE, twin), (ONE, twin, THREE))[0].changed is None
    alone, _ = again(shared, (ONE,))
    assert again(alone, (ONE, THREE))[0].changed == (key_of(THREE),)


def test_object_of_a_lease_that_is_the_devices_too_is_planned_from_nothing() -> None:
    assert ONE.key.subnet is not None
    fixed = Route(ONE.key.subnet, "eth0")
    found, _ = again(planned(settings=(fixed,)), (ONE,), settings=(fixed,))
    assert found.changed is None
    assert again(found, (), settings=(fixed,))[0].objects[fixed.key] == fixed
