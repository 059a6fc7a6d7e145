"""Between etcd and the loop: what a config, a lease and an outage become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flanpy.errors import StoreError
from flanpy.host import state_file
from flanpy.host.state_file import SavedLease
from flanpy.model.condition import ConditionType, Status
from flanpy.status.inputs import OwnSource
from flanpy.store.linger import AFTER_OUTAGE, LINGER
from flanpy.store.port import DeleteKey, Txn
from tests.daemon.rig import NETWORK, NODE, PREFIX, Rig, make, running
from tests.states import lease

pytestmark = pytest.mark.asyncio


def _changed(**more: object) -> str:
    return json.dumps({**json.loads(NETWORK), **more})


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return make(tmp_path)


async def test_config_and_lease_reach_loop_board_and_disk(rig: Rig, tmp_path: Path) -> None:
    rig.configure()
    async with running(rig):
        own = rig.loop.world.own
        assert own is not None
        assert rig.loop.world.own_confirmed
        assert rig.subnets() == [str(own.key)]
        assert rig.board.snapshot.inputs.own.source is OwnSource.ETCD
        saved = state_file.load(tmp_path / "state", node_id=NODE)
        assert isinstance(saved, SavedLease)
        assert (saved.key, saved.network_config) == (own.key, NETWORK)
        assert rig.condition(ConditionType.LEASE_SAVED).reason == "Saved"
        assert rig.kernel.writes > 0


async def test_p25_missing_key_is_named_with_why_it_was_refused_until_etcd_takes_it_again(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        own = rig.loop.world.own
        assert own is not None
        rig.session.refuse("txn", StoreError("etcd is out of space: compact it"), times=3)
        rig.etcd.run(Txn((), (DeleteKey(f"{PREFIX}/subnets/{own.key}"),), ()))
        rig.etcd.wake()
        await rig.clock.advance(0.1)
        lost = rig.condition(ConditionType.LEASE_VALID)
        assert (lost.reason, lost.healthy) == ("KeyMissing", False)
        assert str(own.key) in lost.message
        assert lost.evidence == ("etcd is out of space: compact it",)
        assert rig.loop.world.own == own, "the data plane stays"
        await rig.clock.advance(10)
        assert rig.subnets() == [str(own.key)]
        assert rig.condition(ConditionType.LEASE_VALID).reason == "Leased"


async def test_missing_config_is_named_with_its_key_and_the_cure_and_taken_once_it_comes(rig: Rig) -> None:
    async with running(rig):
        missing = rig.condition(ConditionType.NETWORK_CONFIG_VALID)
        assert "/coreos.com/network/config" in missing.message
        assert "flanpyctl network init" in missing.message
        assert rig.kernel.writes == 0
        rig.configure()
        await rig.clock.advance(2)
        assert rig.condition(ConditionType.NETWORK_CONFIG_VALID).healthy
        assert rig.loop.world.own is not None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "config"),
        ('{"Network": 5}', "Network"),
        (_changed(Backend={"Type": "carrier-pigeon"}), "carrier-pigeon"),
        (_changed(Backend={"Type": "vxlan", "VNI": -1}), "VNI"),
        (_changed(SubnetLen=8), "SubnetLen"),
    ],
)
async def test_config_that_cannot_be_used_is_named_and_the_old_one_stays_in_force(
    rig: Rig, text: str, part: str
) -> None:
    rig.configure()
    async with running(rig):
        before, writes = rig.loop.world.network, rig.kernel.writes
        rig.configure(text)
        await rig.clock.advance(2)
        invalid = rig.condition(ConditionType.NETWORK_CONFIG_VALID)
        assert invalid.reason == "Invalid"
        assert part in invalid.message
        assert (rig.loop.world.network, rig.kernel.writes) == (before, writes)
        rig.configure()
        await rig.clock.advance(2)
        assert rig.condition(ConditionType.NETWORK_CONFIG_VALID).healthy


async def test_deleted_config_is_named_and_the_old_one_stays_in_force(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        before = rig.loop.world.network
        await rig.session.delete("/coreos.com/network/config")
        await rig.clock.advance(2)
        assert "there is no network config" in rig.condition(ConditionType.NETWORK_CONFIG_VALID).message
        assert rig.loop.world.network is before


async def test_config_that_excludes_our_subnet_is_held_until_it_is_taken_back(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        before, writes = rig.loop.world, rig.kernel.writes
        rig.configure(_changed(Network="10.60.0.0/16"))
        await rig.clock.advance(2)
        held = rig.condition(ConditionType.RESTART_NEEDED)
        assert (held.status, held.reason) == (Status.TRUE, "ConfigChanged")
        assert "old one stays in force" in held.message
        assert (rig.loop.world.network, rig.loop.world.own) == (before.network, before.own)
        assert rig.kernel.writes == writes
        rig.configure()
        await rig.clock.advance(2)
        rig.configure(_changed(SubnetMax="10.50.254.0"))
        await rig.clock.advance(2)
        assert rig.condition(ConditionType.RESTART_NEEDED).status is Status.FALSE


async def test_config_that_leads_nowhere_is_held_until_it_is_meant_or_taken_back(rig: Rig) -> None:
    """One careless put must not tear down every tunnel of the cluster."""
    rig.configure()
    async with running(rig):
        before, writes = rig.loop.world, rig.kernel.writes
        rig.configure(_changed(Backend={"Type": "alloc"}))
        await rig.clock.advance(2)
        held = rig.condition(ConditionType.RESTART_NEEDED)
        assert held.status is Status.TRUE
        assert "leads nowhere" in held.message
        assert "network set --force" in held.message
        assert (rig.loop.world.network, rig.kernel.writes) == (before.network, writes)
        rig.configure()
        await rig.clock.advance(2)
        assert rig.condition(ConditionType.RESTART_NEEDED).status is Status.FALSE
        rig.configure(_changed(Backend={"Type": "alloc"}, Deliberate=True))
        await rig.clock.advance(2)
        assert rig.loop.world.network is not None
        assert rig.loop.world.network.backend_type == "alloc"


async def test_network_outside_what_the_host_allows_is_named_and_heals_without_a_restart(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        before = rig.loop.world.network
        rig.configure(_changed(Network="0.0.0.0/1", SubnetLen=24))
        await rig.clock.advance(2)
        refused = rig.condition(ConditionType.NETWORK_CONFIG_VALID)
        assert "0.0.0.0/1, which this host does not allow" in refused.message
        assert rig.loop.world.network is before
        rig.configure()
        await rig.clock.advance(2)
        assert rig.condition(ConditionType.NETWORK_CONFIG_VALID).status is Status.TRUE


async def test_config_that_only_reads_differently_changes_nothing(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        before, writes = rig.loop.world.network, rig.kernel.writes
        rig.configure(json.dumps(json.loads(NETWORK), indent=4))
        await rig.clock.advance(2)
        assert rig.loop.world.network is not None
        assert before is not None
        assert rig.loop.world.network.network == before.network
        assert rig.kernel.writes == writes


async def test_version_of_the_store_is_asked_once_per_connection(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        assert rig.board.snapshot.inputs.store.version == "3.5.30"
        await rig.clock.advance(3600)
        assert rig.session.calls["server_version"] == 1
        rig.session.version = "3.6.14"
        rig.session.cut()
        await rig.clock.advance(60)
        assert rig.board.snapshot.inputs.store.version == "3.5.30", "what it was, while it is away"
        rig.session.mend()
        await rig.clock.advance(60)
        assert rig.board.snapshot.inputs.store.version == "3.6.14"
        assert rig.session.calls["server_version"] == 2


async def test_store_that_refuses_to_tell_its_version_is_followed_all_the_same(rig: Rig) -> None:
    rig.configure()
    rig.session.refuse("server_version", StoreError("permission denied"))
    async with running(rig):
        assert rig.session.calls["server_version"] == 1
        assert rig.board.snapshot.inputs.store.version == ""
        assert rig.condition(ConditionType.DATASTORE_REACHABLE).healthy
        assert rig.board.snapshot.inputs.own.source is OwnSource.ETCD


async def test_outage_makes_the_datastore_unreachable_and_leaves_the_kernel_alone(rig: Rig) -> None:
    rig.configure()
    async with running(rig):
        writes, view = rig.kernel.writes, rig.loop.world.view
        rig.session.cut()
        await rig.clock.advance(60)
        gone = rig.condition(ConditionType.DATASTORE_REACHABLE)
        assert gone.reason == "Unreachable"
        began = rig.board.snapshot.inputs.store.outage_since
        assert began is not None
        assert rig.condition(ConditionType.LEASE_VALID).healthy
        assert rig.kernel.writes == writes
        assert rig.loop.world.view.leases == view.leases
        await rig.clock.advance(60)
        assert rig.board.snapshot.inputs.store.outage_since == began
        rig.session.mend()
        await rig.clock.advance(60)
        assert rig.condition(ConditionType.DATASTORE_REACHABLE).healthy
        assert rig.board.snapshot.inputs.store.outage_since is None


async def test_p24_lease_is_let_go_in_time_although_one_of_before_the_outage_lingers_longer(rig: Rig) -> None:
    rig.configure()
    rig.put_lease(1, "vxlan")
    old = str(lease(1).key)
    async with running(rig):
        rig.session.cut()
        await rig.clock.advance(30)
        rig.etcd.run(Txn((), (DeleteKey(f"{PREFIX}/subnets/{old}"),), ()))
        rig.session.mend()
        await rig.clock.advance(5)
        rig.put_lease(2, "vxlan")
        await rig.clock.advance(1)
        new = str(lease(2).key)
        assert {old, new} <= rig.loop.world.view.leases.keys()
        rig.etcd.run(Txn((), (DeleteKey(f"{PREFIX}/subnets/{new}"),), ()))
        rig.etcd.wake()
        await rig.clock.advance(2 * LINGER)
        assert new not in rig.loop.world.view.leases
        assert old in rig.loop.world.view.leases
        await rig.clock.advance(AFTER_OUTAGE)
        assert old not in rig.loop.world.view.leases


async def test_host_boots_with_its_subnet_from_disk_while_etcd_is_away(rig: Rig, tmp_path: Path) -> None:
    rig.configure()
    async with running(rig):
        own = rig.loop.world.own
    second = make(tmp_path)
    second.session.cut()
    async with running(second):
        await second.clock.advance(10)
        assert second.loop.world.own is not None
        assert own is not None
        assert second.loop.world.own.key == own.key
        assert not second.loop.world.own_confirmed
        assert second.condition(ConditionType.LEASE_VALID).reason == "FromDisk"
        assert second.condition(ConditionType.DATASTORE_REACHABLE).reason == "Unreachable"
        assert second.kernel.writes > 0


async def test_state_dir_that_takes_nothing_is_a_condition_and_written_later(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "state").touch()
    rig.configure()
    async with running(rig):
        assert rig.condition(ConditionType.LEASE_SAVED).reason == "WriteFailed"
        assert rig.loop.world.own is not None
        (tmp_path / "state").unlink()
        rig.leasing.save_again()
        await rig.leasing.close()
        assert rig.condition(ConditionType.LEASE_SAVED).reason == "Saved"


@pytest.mark.parametrize(("margin", "due"), [("1s", 300), ("440s", 300), ("700s", 200), ("890s", 45)])
async def test_lease_is_renewed_after_a_third_or_when_the_margin_says(
    tmp_path: Path, margin: str, due: int
) -> None:
    rig = make(tmp_path, "--subnet-lease-ttl=900s", f"--subnet-lease-renew-margin={margin}")
    rig.configure()
    async with running(rig):
        for beats in range(2):
            await rig.clock.advance(due - 5)
            assert rig.session.calls["keep_alive"] == beats
            await rig.clock.advance(5)
            assert rig.session.calls["keep_alive"] == beats + 1


async def test_wider_margin_renews_sooner_when_it_is_reloaded(tmp_path: Path) -> None:
    rig = make(tmp_path, "--subnet-lease-ttl=900s", "--subnet-lease-renew-margin=1s")
    rig.configure()
    async with running(rig):
        rig.leasing.use_margin(800)
        await rig.clock.advance(95)
        assert rig.session.calls["keep_alive"] == 0
        await rig.clock.advance(10)
        assert rig.session.calls["keep_alive"] == 1
