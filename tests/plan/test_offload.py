"""The choice of checksum offload: whom `auto` trusts, and what the operator's word overrules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flanpy.backend import choice
from flanpy.model.facts import HostFacts
from flanpy.model.objects import LinkFeature
from flanpy.model.offload import Corruption, LinkDriver, OffloadChoice, OffloadReason
from flanpy.model.world import World
from flanpy.plan.offload import checksum_offload
from tests.plan.pipeline import desired_of
from tests.states import DUAL, crowd, moved

CARD = (LinkDriver("eth0", "ixgbe"),)
BOND = (LinkDriver("bond0", "bonding"), LinkDriver("ens1", "ixgbe"), LinkDriver("ens2", "vmxnet3"))


def on(
    *drivers: LinkDriver,
    kernel: tuple[int, int] | None = (6, 1),
    asked: OffloadChoice = OffloadChoice.AUTO,
    corruption: Corruption | None = None,
) -> World:
    one = crowd(1, DUAL)
    facts = replace(moved(drivers=drivers), kernel=kernel)
    return replace(one, facts=facts, policy=replace(one.policy, tx_checksum=asked), corruption=corruption)


@pytest.mark.parametrize(
    ("world", "is_on", "reason", "part"),
    [
        (on(*CARD), True, OffloadReason.RIGHT, "eth0 (driver ixgbe)"),
        (on(), True, OffloadReason.RIGHT, "against no underlay link"),
        (on(*CARD, kernel=(5, 7)), True, OffloadReason.RIGHT, ""),
        (on(*CARD, kernel=(5, 6)), False, OffloadReason.OLD_KERNEL, "kernel 5.6"),
        (on(*CARD, kernel=(4, 19)), False, OffloadReason.OLD_KERNEL, "kernel 4.19"),
        (on(*CARD, kernel=None), True, OffloadReason.RIGHT, ""),
        (on(*BOND), False, OffloadReason.BROKEN_DRIVER, "ens2 (driver vmxnet3)"),
        (on(LinkDriver("eth0")), True, OffloadReason.RIGHT, "eth0 (driver unknown)"),
        (on(*CARD, corruption=Corruption(CARD, ("b", "c"))), False, OffloadReason.CORRUPTED, "to b, c"),
        (on(*CARD, corruption=Corruption(BOND, ("b",))), True, OffloadReason.RIGHT, ""),
        (on(*BOND, kernel=(4, 4), asked=OffloadChoice.ON), True, OffloadReason.SET, "is on"),
        (on(*CARD, asked=OffloadChoice.OFF), False, OffloadReason.SET, "is off"),
    ],
)
def test_offload_is_decided(world: World, is_on: bool, reason: OffloadReason, part: str) -> None:
    decided = checksum_offload(world)
    assert (decided.on, decided.reason) == (is_on, reason)
    assert part in decided.why


@pytest.mark.parametrize("asked", [OffloadChoice.ON, OffloadChoice.OFF])
def test_devices_of_both_families_are_given_what_was_decided(asked: OffloadChoice) -> None:
    features = [
        obj for obj in (desired_of(on(*BOND, asked=asked)) or {}).values() if isinstance(obj, LinkFeature)
    ]
    assert {feature.link for feature in features} == {"flannel.1", "flannel-v6.1"}
    assert {feature.enabled for feature in features} == {asked is OffloadChoice.ON}


def test_measured_corruption_is_forgotten_with_the_underlay_it_was_measured_on() -> None:
    world = on(*CARD, corruption=Corruption(CARD, ("b",)))
    assert checksum_offload(replace(world, facts=HostFacts())).corruption is None
    assert choice.planner(replace(world, facts=HostFacts())) is None
