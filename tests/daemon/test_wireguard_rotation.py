"""The change of this host's WireGuard key: its order, its refusals, and the way back where etcd does not take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flanpy.config import Settings
from flanpy.daemon.wireguard_rotation import DEADLINE_S, KeyRotation
from flanpy.errors import HostError, KernelError
from flanpy.host.wireguard_key import NAME, KeyPair, key_pair
from flanpy.kernel.wireguard_part import WireguardPart
from flanpy.model.lease import WireguardData
from flanpy.model.ops import OpFailure, Put
from flanpy.model.wireguard import WgDevice
from flanpy.model.world import Former, Policy
from flanpy.plan.admission import Admission
from flanpy.plan.decision import Decision
from flanpy.reconcile.outcome import Pass
from tests.fakes.clock import FakeClock, settle
from tests.states import V4, as_backend, crowd, options

pytestmark = pytest.mark.asyncio

BASE = as_backend("wireguard", crowd(1, options(V4)))


@dataclass
class Rig:
    """A rotation, and an etcd that takes what the lease is to say unless it is away."""

    state_dir: Path
    clock: FakeClock = field(default_factory=FakeClock)
    max_age: float = 0.0
    shared: bool = True
    etcd_takes: bool = True
    said: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = replace(BASE, own_confirmed=True, view=replace(BASE.view, stale=False))
        self.part = WireguardPart()
        settings = replace(Settings(), state_dir=self.state_dir, wireguard_key_max_age=self.max_age)
        self.rotation = KeyRotation(
            settings,
            self.part,
            clock=self.clock,
            world=lambda: self.world,
            use=self._use,
            shared_by=lambda: self.shared,
        )
        self.first = key_pair(self.state_dir)
        self.rotation.begin(self.first)

    def _use(self, policy: Policy) -> None:
        self.world = replace(self.world, policy=policy)
        named = policy.wireguard_said or policy.wireguard_key
        self.said.append((policy.wireguard_key, named))
        if self.etcd_takes and self.world.own is not None:
            record = replace(self.world.own.record, backend_data=WireguardData(named, 51820))
            self.world = replace(self.world, own=replace(self.world.own, record=record))

    def passed(self, *, fails: bool = False) -> None:
        """End a pass of the loop, in which the device took the key or did not."""
        device = WgDevice("flannel-wg", self.world.policy.wireguard_key, 51820)
        failures = (OpFailure(Put(device), KernelError("no")),) if fails else ()
        decision = Decision(desired={device.key: device})
        self.rotation.pass_done(Pass(1, self.world, Admission(), decision, failures=failures))

    @property
    def on_disk(self) -> KeyPair:
        return key_pair(self.state_dir)


async def until(holds: Callable[[], bool]) -> None:
    """Let threads and tasks work until it holds."""
    async with asyncio.timeout(30):
        while not holds():
            await settle()
            await asyncio.sleep(0.001)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_lease_names_the_new_key_once_the_device_has_it(rig: Rig) -> None:
    rig.passed()
    task = asyncio.create_task(rig.rotation.rotate())
    await until(lambda: rig.on_disk != rig.first)
    await until(lambda: rig.world.policy.wireguard_key != rig.first.public)
    new = rig.on_disk.public
    assert rig.said[-1] == (new, rig.first.public)
    rig.passed(fails=True)
    assert rig.said[-1] == (new, rig.first.public)
    rig.passed()
    assert rig.said[-1] == (new, new)
    assert await task == {"key": new[:8], "former": rig.first.public[:8]}
    assert (await rig.rotation.document())["public_key"] == new


async def test_key_that_the_lease_never_names_is_taken_back_everywhere(rig: Rig) -> None:
    rig.etcd_takes = False
    task = asyncio.create_task(rig.rotation.rotate())
    await until(lambda: rig.world.policy.wireguard_key != rig.first.public)
    while not task.done():
        rig.passed()
        await rig.clock.advance(DEADLINE_S)
        await asyncio.sleep(0.001)
    with pytest.raises(HostError, match="the key was not changed"):
        await task
    assert rig.on_disk == rig.first
    assert rig.world.policy.wireguard_key == rig.first.public


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda world: replace(world, network=V4), "the network's backend is vxlan"),
        (lambda world: replace(world, network=None), "not known yet"),
        (lambda world: replace(world, own_confirmed=False), "peers could not learn a new key"),
        (lambda world: replace(world, own=None), "this host has no lease"),
        (lambda world: replace(world, view=replace(world.view, stale=True)), "etcd is away"),
        (lambda world: replace(world, former=Former(V4, world.own.record)), "moves to another backend"),
    ],
)
async def test_key_that_peers_could_not_learn_is_not_changed(rig: Rig, change: object, words: str) -> None:
    assert callable(change)
    rig.world = change(rig.world)
    with pytest.raises(HostError, match=words):
        await rig.rotation.rotate()
    assert rig.on_disk == rig.first


async def test_hosts_of_a_list_are_told_to_change_the_list(rig: Rig) -> None:
    rig.shared = False
    with pytest.raises(HostError, match="write the new public key into the list"):
        await rig.rotation.rotate()


async def test_file_that_cannot_be_used_is_not_written_over(rig: Rig) -> None:
    file = rig.state_dir / NAME
    file.write_text("too short")
    with pytest.raises(HostError, match="cannot be used"):
        await rig.rotation.rotate()
    assert file.read_text() == "too short"


async def test_start_after_a_half_done_change_waits_for_the_device(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    former = rig.first.public
    (tmp_path / NAME).unlink()
    new = key_pair(tmp_path)
    rig.rotation.begin(new)
    assert rig.said[-1] == (new.public, former)
    rig.passed()
    assert rig.said[-1] == (new.public, new.public)


async def test_key_is_changed_by_its_age_and_not_before(tmp_path: Path) -> None:
    rig = Rig(tmp_path, max_age=3600.0)
    rig.clock.jump((tmp_path / NAME).stat().st_mtime - rig.clock.wall())
    task = asyncio.create_task(rig.rotation.run())
    await rig.clock.advance(3000)
    await asyncio.sleep(0.05)
    assert rig.on_disk == rig.first
    await rig.clock.advance(700)
    await until(lambda: rig.on_disk != rig.first)
    task.cancel()
