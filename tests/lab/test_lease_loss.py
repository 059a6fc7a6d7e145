"""P25 and failures 9 and 16: a host's lease goes in every way there is, and comes back on the same subnet."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from integration.lab import Entry, Host, Lab
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import (
    conditions,
    ctl,
    delete,
    keys,
    lease_value,
    on_each,
    own_key,
    own_keys,
    owned,
    put,
    ring,
    route_to,
    status,
    undisturbed,
)
from tests.lab.overlay import assert_settled, eventually, metric, never, standing

pytestmark = pytest.mark.lab

FOREIGN = "10.99.16.99"


def probed(peers: int) -> Callable[[Host], bool]:
    """Return the question whether so many peers, and thus all of them, answered the probes of a host."""
    return lambda host: f"{peers} of {peers} peers answered" in conditions(host)["PeersReachable"]["message"]


def test_p25_own_key_comes_back_on_the_same_subnet_after_deletion(lab: Lab) -> None:
    host = lab.hosts[0]
    before = owned(lab, host)
    assert before is not None

    with undisturbed(*ring(lab)):
        for _ in range(5):
            was = owned(lab, host)
            lab.etcd.api.delete(before.key)
            wait_rewritten(lab, host, was)
            assert_settled(lab)

    after = owned(lab, host)
    assert after is not None
    assert (after.key, after.value) == (before.key, before.value)
    assert lab.etcd.api.time_to_live(after.lease) > 80_000
    assert host.daemon.starts == 1


def test_failure_09_revoked_lease_is_replaced_on_the_same_subnet_and_ends_nobody(lab: Lab) -> None:
    host = lab.hosts[0]
    before = owned(lab, host)
    assert before is not None

    with undisturbed(*ring(lab)):
        lab.etcd.api.revoke(before.lease)
        eventually(lambda: owned(lab, host) is not None, "the key is back")
        assert_settled(lab)

    after = owned(lab, host)
    assert after is not None
    assert (after.key, after.value) == (before.key, before.value)
    assert after.lease not in (0, before.lease)
    assert host.daemon.running
    assert host.daemon.is_ready()


@pytest.mark.parametrize("loss", ["deleted", "revoked"])
def test_failure_17_host_too_busy_to_write_its_lost_key_again_loses_no_datagram(lab: Lab, loss: str) -> None:
    host, *others = lab.hosts
    key, before = own_key(lab, host), owned(lab, host)
    assert before is not None
    on_each(others, probed(len(others)), "every peer answered probes", deadline=30)
    with undisturbed(*ring(lab)):
        host.daemon.signal(signal.SIGSTOP)
        try:
            if loss == "deleted":
                lab.etcd.api.delete(before.key)
            else:
                lab.etcd.api.revoke(before.lease)
            never(lambda: not all(route_to(one, key) for one in others), "a peer lets the host go", seconds=4)
        finally:
            host.daemon.signal(signal.SIGCONT)
        eventually(lambda: owned(lab, host) is not None, "the key is back")
        assert_settled(lab)


def test_failure_17_peer_that_drains_or_is_gone_is_let_go_at_once(lab: Lab) -> None:
    host, *others = lab.hosts
    key = own_key(lab, host)
    on_each(others, probed(len(others)), "every peer answered probes", deadline=30)
    ctl(host, "drain", "--force")
    on_each(others, lambda one: route_to(one, key) is None, "the drained host is let go", deadline=3)
    ctl(host, "drain", "--undo")
    on_each(others, lambda one: route_to(one, key), "it is back")
    assert_settled(lab)


def test_p25_key_taken_off_its_etcd_lease_by_hand_is_a_reservation_from_then_on(lab: Lab) -> None:
    host = lab.hosts[0]
    before = owned(lab, host)
    assert before is not None
    with undisturbed(*ring(lab)):
        put(lab, own_key(lab, host), before.value, ttl=0)
        eventually(lambda: conditions(host)["LeaseValid"]["reason"] == "Reserved", "it is a reservation")
        lab.etcd.api.revoke(before.lease)
        assert owned(lab, host)
        assert_settled(lab)
        ctl(host, "subnets", "unpin", own_key(lab, host))
        eventually(lambda: conditions(host)["LeaseValid"]["reason"] == "Leased", "it is a lease again")
        assert_settled(lab)


def test_p25_garbage_written_over_the_own_key_is_overwritten(lab: Lab) -> None:
    host = lab.hosts[0]
    before = owned(lab, host)
    assert before is not None
    with undisturbed(*(pair for pair in ring(lab) if pair[1].host != host.name)):
        put(lab, own_key(lab, host), "{{{")
        eventually(lambda: (now := owned(lab, host)) is not None and now.value == before.value, "mended")
        assert_settled(lab)
        assert (entry := owned(lab, host)) is not None
        assert lab.etcd.api.time_to_live(entry.lease) > 0


def wait_rewritten(lab: Lab, host: Host, was: Entry | None) -> None:
    eventually(lambda: owned(lab, host) not in (None, was), "the key is back")


def values_of(lab: Lab) -> dict[str, str]:
    """Return the value of each host's key."""
    return {host: keys(lab)[key].value for host, key in own_keys(lab).items()}


def test_failure_16_wiped_etcd_is_filled_again_and_no_datagram_is_lost(lab: Lab) -> None:
    subnets = own_keys(lab)
    values = values_of(lab)

    with undisturbed(*ring(lab)):
        lab.etcd.wipe()
        eventually(lambda: own_keys(lab) == subnets, lambda: own_keys(lab), deadline=10)
        host = lab.hosts[0]
        eventually(
            lambda: conditions(host)["NetworkConfigValid"]["status"] == "False",
            "the config is missed",
            deadline=10,
        )
        assert "flanpyctl network init" in conditions(host)["NetworkConfigValid"]["message"]
        assert all(each.daemon.is_ready() for each in lab.hosts), "the old config is in force"
        ctl(host, "network", "init", "10.50.0.0/16")
        eventually(lambda: conditions(host)["NetworkConfigValid"]["healthy"], "the config is back")
        assert_settled(lab)
        for each in lab.hosts:
            on_each([each], lambda each: metric(each, "flanpy_held_deletions") == 0, "nothing is held")

    assert values_of(lab) == values
    assert all(host.daemon.starts == 1 for host in lab.hosts)


def test_p25_peer_that_a_wiped_etcd_does_not_get_back_is_pruned_by_the_second_listing(lab: Lab) -> None:
    put(lab, "10.50.222.0-24", lease_value(FOREIGN))
    assert_settled(lab)
    config = lab.etcd.api.get("/coreos.com/network/config")
    assert config is not None
    host = lab.hosts[0]
    with undisturbed(*ring(lab)):
        lab.etcd.wipe()
        lab.etcd.api.put(config.key, config.value)
        eventually(lambda: len(own_keys(lab)) == 3, "all are registered", deadline=10)
        eventually(
            lambda: route_to(host, "10.50.222.0-24") and metric(host, "flanpy_held_deletions") == 1,
            "the peer is held",
            deadline=10,
        )
        assert_settled(lab, deadline=15)
        assert not route_to(host, "10.50.222.0-24")


def test_p25_restored_snapshot_with_older_keys_gives_everybody_the_same_subnet(lab: Lab) -> None:
    """A backup from before the third host joined, when the first had another MAC and one lived that is gone."""
    one, two, _three = lab.hosts
    subnets, entries = own_keys(lab), keys(lab)
    config = lab.etcd.api.get("/coreos.com/network/config")
    assert config is not None
    for host in lab.hosts:
        host.daemon.freeze()
    lab.etcd.wipe()
    lab.etcd.api.put(config.key, config.value)
    put(lab, subnets[one.name], lease_value(one.address, "02:01:01:01:01:01", node=one.name))
    put(lab, subnets[two.name], entries[subnets[two.name]].value)
    put(lab, "10.50.223.0-24", lease_value(FOREIGN))
    for host in lab.hosts:
        host.daemon.thaw()

    with undisturbed((lab.containers[1], lab.containers[2]), (lab.containers[2], lab.containers[1])):
        eventually(lambda: own_keys(lab) == subnets, lambda: own_keys(lab), deadline=20)
        assert_settled(lab, deadline=15)
    assert all(route_to(host, "10.50.223.0-24") for host in lab.hosts)
    assert {key: keys(lab)[key].value for key in subnets.values()} == {
        key: entries[key].value for key in subnets.values()
    }
    delete(lab, "10.50.223.0-24")
    assert_settled(lab)


@pytest.fixture
def frozen(build_lab: BuildLab) -> Lab:
    """Two hosts, the first with a lease of 3 s; it is stopped, and the lease has run out."""
    lab = build_lab(2)
    lab.configure()
    one, two = lab.hosts
    one.daemon.up("--subnet-lease-ttl=3")
    two.daemon.up()
    lab.attach_containers()
    assert_settled(lab)
    one.daemon.freeze()
    eventually(lambda: owned(lab, one) is None, "the lease runs out", deadline=15)
    eventually(lambda: not route_to(two, key_of(one)), "the other host forgets it")
    return lab


def key_of(host: Host) -> str:
    """Return the key of the host's subnet, by its subnet.env."""
    return str(host.subnet_file.subnet.network).replace("/", "-")


def test_p25_lease_that_ran_out_while_the_host_was_frozen_is_taken_again(frozen: Lab) -> None:
    one, two = frozen.hosts
    device = standing(frozen, one)
    one.daemon.thaw()
    eventually(lambda: owned(frozen, one) is not None, "it is registered again", deadline=10)
    assert own_key(frozen, one) == key_of(one)
    assert_settled(frozen, deadline=10)
    assert standing(frozen, one) == device
    assert frozen.containers[0].ping(frozen.containers[1]).ok
    never(lambda: owned(frozen, one) is None, "it is not renewed", seconds=5)
    assert two.daemon.is_ready()


def test_p25_subnet_that_another_node_took_meanwhile_is_not_fought_for(frozen: Lab) -> None:
    one, two = frozen.hosts
    device = standing(frozen, one)
    subnet = key_of(one)
    put(frozen, subnet, lease_value(FOREIGN, node="thief"))
    theirs = keys(frozen)[subnet]
    one.daemon.thaw()

    eventually(
        lambda: conditions(one)["LeaseConflict"]["status"] == "True", "the conflict shows", deadline=10
    )
    message = conditions(one)["LeaseConflict"]["message"]
    assert subnet in message
    assert "thief" in message
    eventually(lambda: conditions(one)["LeaseValid"]["status"] == "False", "it has none")
    eventually(lambda: one.daemon.fetch("/readyz")[0] == 503, "it is not ready")
    assert one.daemon.answers("/healthz")
    never(lambda: keys(frozen)[subnet] != theirs or len(keys(frozen)) != 2, "somebody writes", seconds=4)
    assert standing(frozen, one) == device, "the data plane is left alone"
    eventually(lambda: route_to(two, subnet), "the other host follows the thief")
    route = route_to(two, subnet)
    assert route is not None
    assert route["gateway"] == subnet.partition("-")[0]

    delete(frozen, subnet)
    eventually(lambda: owned(frozen, one) is not None, "it is taken back")
    assert own_key(frozen, one) == subnet
    assert_settled(frozen, deadline=10)
    eventually(lambda: conditions(one)["LeaseConflict"]["status"] == "False", "the conflict is over")
    eventually(lambda: status(one)["ready"], lambda: status(one))
    assert frozen.containers[0].ping(frozen.containers[1]).ok
