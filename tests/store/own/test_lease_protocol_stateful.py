"""The lease protocol under everything at once, on a real etcd and on the embedded store: no two live leases overlap.

Hypothesis drives N keepers a turn at a time, so that it can pause one between any two of its calls, lose questions and
answers, deliver a transaction long after its sender gave it up, end leases, cut hosts off, restart them with or without
their disk, let a flannel-like writer join, and change the network config. The rule is checked after each step on what
etcd holds; in the end, after a calm, every host has a lease of its own.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flanpy.errors import LeaseError
from flanpy.model.lease import LeaseView
from flanpy.store.lease_view import fold
from flanpy.store.own.allocation import candidates
from flanpy.store.port import PutKey, Txn, key_absent
from flanpy.store.schema import encode_record, subnets_prefix
from flanpy.store.session.etcd import EtcdSession
from tests.etcd_server import EmbeddedStore, EtcdCluster
from tests.store.own.lease_hosts import DUAL, Host, keys_in, network, overlaps, record

pytestmark = pytest.mark.etcd

HOSTS = st.integers(0, 4)
_spaces = count(1)

# All hosts, and what they may leave behind, fit in each. Lengths differ, so that subnets of different keys overlap.
NETWORKS: list[dict[str, Any]] = [
    {"SubnetLen": 28},
    {"SubnetLen": 27},
    {"SubnetLen": 28, "SubnetMin": "10.50.0.64"},
    {"SubnetLen": 28, **DUAL},
    {"SubnetLen": 28, **DUAL, "IPv6SubnetLen": 52},
    {"SubnetLen": 29, **DUAL, "IPv6SubnetLen": 56},
]


class LeaseProtocol(RuleBasedStateMachine):
    """Keepers against one etcd; `cluster` is set by the test below."""

    cluster: EtcdCluster | EmbeddedStore

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"/stateful-{os.getpid()}-{next(_spaces)}"
        self.runner = asyncio.Runner()
        self.session = EtcdSession(self.cluster.settings())
        self.hosts: list[Host] = []
        self.config = network("10.50.0.0/23", **NETWORKS[0])
        self.flannels = count(100)

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    @initialize(kind=st.sampled_from(NETWORKS))
    def start(self, kind: dict[str, Any]) -> None:
        self.config = network("10.50.0.0/23", **kind)
        self.hosts = [Host(number, self.session, self.prefix, self.config) for number in range(1, 6)]

    @rule(at=HOSTS, turns=st.integers(1, 4))
    def take_turns(self, at: int, turns: int) -> None:
        """Fewer turns than a job needs leave the host paused in the middle of it."""

        async def take() -> None:
            for _ in range(turns):
                await self.hosts[at].keeper.turn()

        self.run(take())

    @rule(at=HOSTS)
    def look(self, at: int) -> None:
        self.run(self.hosts[at].look())

    @rule(at=st.lists(HOSTS, min_size=2, max_size=5, unique=True))
    def look_all_then_turn_together(self, at: list[int]) -> None:
        """All decide on the same view and run into each other."""

        async def race() -> None:
            await asyncio.gather(*(self.hosts[one].look() for one in at))
            await asyncio.gather(*(self.hosts[one].keeper.turn() for one in at))
            await asyncio.gather(*(self.hosts[one].keeper.turn() for one in at))

        self.run(race())

    @rule(at=HOSTS, faults=st.lists(st.sampled_from(["", "before", "after", "late"]), min_size=1, max_size=4))
    def lose_calls(self, at: int, faults: list[str]) -> None:
        self.hosts[at].line.faults = list(faults)

    @rule(at=HOSTS)
    def deliver_late(self, at: int) -> None:
        self.run(self.hosts[at].line.deliver_late())

    @rule(at=HOSTS)
    def cut_off(self, at: int) -> None:
        self.hosts[at].line.cut = True

    @rule(at=HOSTS)
    def reconnect(self, at: int) -> None:
        self.hosts[at].line.cut = False

    @rule(at=HOSTS)
    def end_lease(self, at: int) -> None:
        """As time would: the etcd lease ends with its key, and the host may not know."""
        lease = self.hosts[at].lease
        if lease is not None and lease.lease_id:
            self.run(self.session.revoke(lease.lease_id))

    @rule(at=HOSTS)
    def delete_key(self, at: int) -> None:
        lease = self.hosts[at].lease
        if lease is not None:
            self.run(self.session.delete(f"{subnets_prefix(self.prefix)}{lease.key}"))

    @rule(at=HOSTS, disk=st.booleans(), in_use=st.booleans())
    def kill_and_restart(self, at: int, *, disk: bool, in_use: bool) -> None:
        host = self.hosts[at]
        late = host.line.late
        host.disk = host.disk if disk else None
        host.in_use = in_use
        host.network = self.config
        host.start()
        host.line.late = late  # what the dead one sent may still arrive

    @rule(kind=st.sampled_from(NETWORKS))
    def change_network(self, kind: dict[str, Any]) -> None:
        self.config = network("10.50.0.0/23", **kind)

    @rule(at=HOSTS)
    def hear_of_the_network(self, at: int) -> None:
        host = self.hosts[at]
        host.keeper.want(self.config, record(host.number, host.node))

    @precondition(lambda self: self.config.network6 is None)
    @rule()
    def flannel_joins(self) -> None:
        """It lists, picks and creates under a compare of its own key alone, all at one moment here.

        Between its listing and its creation nothing is done by others: what it then overlapped would be its fault.
        """
        number = next(self.flannels)
        if number < 104:
            self.run(self._flannel(number))

    async def _flannel(self, number: int) -> None:
        prefix = subnets_prefix(self.prefix)
        view = fold(LeaseView(), await self.session.list(prefix), prefix)
        with suppress(LeaseError):
            key = candidates(self.config, view, rng=Random(number))[0]
            put = PutKey(f"{prefix}{key}", encode_record(record(number)), await self.session.grant(86400))
            await self.session.txn(Txn((key_absent(put.key),), (put,)))

    @rule(at=HOSTS)
    def release(self, at: int) -> None:
        with suppress(Exception):
            self.run(self.hosts[at].keeper.release())
        self.hosts[at].network = self.config
        late = self.hosts[at].line.late
        self.hosts[at].start()
        self.hosts[at].line.late = late

    @invariant()
    def no_two_leases_overlap(self) -> None:
        keys = self.run(keys_in(self.session, self.prefix))
        assert overlaps(keys) == []

    def teardown(self) -> None:
        try:
            if self.hosts:
                self.run(self._calm())
        finally:
            self.run(self.session.delete(self.prefix))
            self.run(self.session.aclose())
            self.runner.close()

    async def _calm(self) -> None:
        """Faults end. Hosts whose subnet another took hand it back by hand (`drain`), as the conflict tells them to."""
        for host in self.hosts:
            host.line.cut, host.line.faults = False, []
            await host.line.deliver_late()
        for _ in range(4):
            for host in self.hosts:
                await host.steps(20)
        for host in self.hosts:
            if host.keeper.state.conflict or host.keeper.state.restart_needed or host.keeper.state.waiting:
                await host.keeper.release()
                host.network = self.config
                host.start()
            await host.steps(20)
        keys = await keys_in(self.session, self.prefix)
        assert overlaps(keys) == []
        for host in self.hosts:
            assert host.lease is not None, (host.number, host.keeper.state, list(keys))
            found = keys[str(host.lease.key)]
            assert (found.mod_revision, found.lease_id) == (host.lease.mod_revision, host.lease.lease_id)
        ours = [text for text, kv in keys.items() if b"NodeID" in kv.value]
        assert sorted(ours) == sorted(str(host.lease.key) for host in self.hosts if host.lease)


@pytest.mark.parametrize("kind", ["etcd", "embedded"])
def test_p26_no_two_live_leases_overlap_whatever_happens(kind: str, request: pytest.FixtureRequest) -> None:
    LeaseProtocol.cluster = request.getfixturevalue(kind).cluster
    budget = settings(
        max_examples=int(os.environ.get("LEASE_EXAMPLES", "30")),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LeaseProtocol, settings=budget)
