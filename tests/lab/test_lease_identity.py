"""P26 to P29 and failure 8: who a lease belongs to, who may have a subnet, and who waits for one."""

from __future__ import annotations

import json
import signal

import pytest

from integration.lab import Host, Lab
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
    put_config,
    ring,
    route_to,
    status,
    undisturbed,
)
from tests.lab.overlay import assert_settled, assert_told, eventually, never, standing

pytestmark = pytest.mark.lab


def test_p26_younger_of_two_overlapping_leases_is_named_on_both_and_the_older_works(lab: Lab) -> None:
    """An operator's raw put gave half of the second host's subnet away before that host came back."""
    one, two, three = lab.hosts
    theirs = own_key(lab, two)
    value = keys(lab)[theirs].value
    half = theirs.replace("-24", "-25")
    two.daemon.stop()
    delete(lab, theirs)
    put(lab, half, lease_value("10.99.16.26", "02:fa:00:00:00:26"))
    put(lab, theirs, value)
    two.daemon.launch()

    eventually(lambda: conditions(two)["LeaseConflict"]["status"] == "True", "the younger knows", deadline=10)
    message = conditions(two)["LeaseConflict"]["message"]
    assert theirs in message
    assert half in message
    eventually(lambda: two.daemon.fetch("/readyz")[0] == 503, "the younger is not ready")
    for host in (one, three):
        on_each([host], lambda host: route_to(host, half), "the older is programmed")
        # each of the three writes may be a pass of its own
        on_each([host], lambda host: names_all(host, theirs, half, two.name), "both are named", deadline=10)
        on_each([host], lambda host: not route_to(host, theirs), "the younger is not")
    assert keys(lab).keys() == {half, *own_keys(lab).values()}, "nobody fights"

    delete(lab, half)
    assert_settled(lab, deadline=10)
    assert own_key(lab, two) == theirs


def names_all(host: Host, *words: str) -> bool:
    """Report whether the host's condition of its peers' leases has all these words."""
    return all(word in conditions(host)["PeerLeasesValid"]["message"] for word in words)


def test_p26_subnet_given_to_a_second_host_by_hand_goes_back_to_its_owner(lab: Lab) -> None:
    one, two, _three = lab.hosts
    mine, theirs = own_key(lab, one), own_key(lab, two)
    put(lab, mine, keys(lab)[theirs].value)  # one's subnet now says it is two's
    eventually(lambda: own_keys(lab).get(one.name) == mine, lambda: own_keys(lab), deadline=10)
    assert own_key(lab, two) == theirs
    assert_settled(lab, deadline=10)
    assert all(a.ping(b).ok for a, b in ring(lab))


def test_p27_address_change_between_two_runs_keeps_the_subnet(lab: Lab) -> None:
    one = lab.hosts[0]
    key, before = own_key(lab, one), one.address
    one.daemon.stop()
    with (
        lab.faults.set_address(one, "10.99.1.77"),
        undisturbed((lab.containers[1], lab.containers[2]), (lab.containers[2], lab.containers[1])),
    ):
        one.daemon.up()
        assert_told(lab, one)
        assert own_key(lab, one) == key
        assert json.loads(keys(lab)[key].value)["PublicIP"] == "10.99.1.77"
        assert_settled(lab)
        assert lab.containers[0].ping(lab.containers[1], wait=3).ok
        assert len(keys(lab)) == 3
        one.daemon.stop()
    one.daemon.up()
    assert one.address == before
    assert_told(lab, one)
    assert own_key(lab, one) == key
    assert_settled(lab)


def test_p27_address_change_while_running_keeps_the_subnet(lab: Lab) -> None:
    one = lab.hosts[0]
    key, starts = own_key(lab, one), one.daemon.starts
    with lab.faults.set_address(one, "10.99.1.78"):
        assert_told(lab, one)
        assert_settled(lab, deadline=10)
        assert own_key(lab, one) == key
        assert json.loads(keys(lab)[key].value)["PublicIP"] == "10.99.1.78"
        assert all(a.ping(b, wait=3).ok for a, b in ring(lab))
    assert_told(lab, one)
    assert_settled(lab, deadline=10)
    assert one.daemon.starts == starts


def test_p27_fallen_machine_with_a_new_name_leases_another_subnet(lab: Lab) -> None:
    """The node id is the identity: with another one at the same address, nobody's lease is taken over."""
    one = lab.hosts[0]
    before = own_key(lab, one)
    one.daemon.stop()
    one.daemon.subnet_path.unlink()
    one.daemon.launch(env={"FLANPYD_NODE_ID": "h1-reborn", "FLANPYD_STATE_DIR": str(one.directory / "other")})
    eventually(lambda: len(keys(lab)) == 4, "it has a lease of its own", deadline=10)
    (new,) = [k for k, entry in keys(lab).items() if "h1-reborn" in entry.value]
    assert new != before
    assert json.loads(keys(lab)[before].value)["NodeID"] == "h1"
    said = eventually_condition(one, "DuplicatePublicIP")
    assert "h1-reborn" in said
    assert before in said
    one.daemon.stop()
    delete(lab, new)
    one.daemon.subnet_path.unlink()
    one.daemon.up()
    assert own_key(lab, one) == before
    assert_settled(lab, deadline=10)


def eventually_condition(host: Host, kind: str) -> str:
    """Wait until a condition that is good when False is True; its message."""
    eventually(lambda: conditions(host)[kind]["status"] == "True", f"{host.name} says {kind}", deadline=10)
    return str(conditions(host)[kind]["message"])


def test_failure_08_duplicate_public_ip_is_named_on_both_and_hijacks_nobody(lab: Lab) -> None:
    one, two, three = lab.hosts
    before = own_keys(lab)
    three.daemon.stop()
    with undisturbed((lab.containers[0], lab.containers[1]), (lab.containers[1], lab.containers[0])):
        three.daemon.launch(f"--public-ip={one.address}")
        said = [eventually_condition(host, "DuplicatePublicIP") for host in (one, three)]
        assert one.address in said[0]
        assert three.name in said[0]
        assert before[three.name] in said[0]
        assert one.address in said[1]
        assert one.name in said[1]
        assert before[one.name] in said[1]
        assert own_keys(lab) == before
        assert one.daemon.is_ready()
        assert route_to(two, before[one.name])
        assert json.loads(keys(lab)[before[one.name]].value)["NodeID"] == one.name
    three.daemon.stop()
    three.daemon.up()
    assert_settled(lab, deadline=10)
    assert own_keys(lab) == before
    for host in (one, three):
        on_each(
            [host], lambda host: conditions(host)["DuplicatePublicIP"]["healthy"], "no duplicate any more"
        )


def test_p28_host_without_a_free_subnet_waits_and_takes_the_first_that_is_freed(build_lab: BuildLab) -> None:
    lab = build_lab(5)
    put_config(lab, Network="10.50.0.0/22", SubnetLen=24, SubnetMin="10.50.0.0")
    for host in lab.hosts[:4]:
        host.daemon.launch()
    for host in lab.hosts[:4]:
        host.daemon.wait_ready()
    late = lab.hosts[4]
    late.daemon.launch()
    eventually(lambda: late.daemon.answers("/healthz"), "it answers", deadline=10)
    eventually(
        lambda: "10.50.0.0/22" in conditions(late)["LeaseValid"]["message"],
        lambda: conditions(late)["LeaseValid"],
        deadline=10,
    )
    said = conditions(late)["LeaseValid"]
    assert (said["status"], said["reason"]) == ("False", "NotHeld")
    never(lambda: not late.daemon.running or late.daemon.is_ready(), "it runs and is not ready", seconds=2)
    assert len(own_keys(lab)) == 4

    gone = lab.hosts[1]
    freed = own_key(lab, gone)
    gone.daemon.stop()
    ctl(late, "subnets", "release", freed, "--force")
    late.daemon.wait_ready(deadline=10)
    assert own_key(lab, late) == freed
    assert_settled(lab, [host for host in lab.hosts if host is not gone], deadline=10)

    gone.daemon.launch()
    eventually(lambda: not conditions(gone)["LeaseValid"]["healthy"], "now this one waits", deadline=10)
    assert gone.daemon.running


def test_p29_reservation_for_a_public_ip_is_what_that_host_takes_and_keeps(build_lab: BuildLab) -> None:
    lab = build_lab(3)
    one, two, three = lab.hosts
    put_config(lab, Network="10.50.0.0/22", SubnetLen=24)
    reserved = "10.50.2.0-24"
    said = ctl(one, "subnets", "reserve", "10.50.2.0/24", "--public-ip", three.address)
    assert "reserved" in said
    for host in (one, two):
        host.daemon.up()
    assert {own_key(lab, one), own_key(lab, two)} == {"10.50.1.0-24", "10.50.3.0-24"}
    assert not route_to(one, reserved), "nobody is at home there yet"
    assert conditions(one)["PeerLeasesValid"]["healthy"], "a reservation is no fault"

    three.daemon.up()
    assert own_key(lab, three) == reserved
    assert_settled(lab)
    for _ in range(2):
        entry = keys(lab)[reserved]
        assert entry.lease == 0, "a reservation never becomes a lease of a day"
        eventually(lambda: status(three)["own"]["reservation"] is True, lambda: status(three)["own"])
        three.daemon.restart()
    row = json.loads(ctl(one, "subnets", "show", reserved.replace("-", "/"), "-o", "json"))
    assert row["reservation"] is True

    three.daemon.stop()
    ctl(three, "subnets", "release", reserved.replace("-", "/"))
    assert reserved not in keys(lab)
    eventually(lambda: not route_to(one, reserved), "it is pruned")
    three.daemon.up()
    assert own_key(lab, three) == reserved, "its old subnet, now as a lease"
    assert keys(lab)[reserved].lease > 0


def test_p29_reservation_for_a_node_id_is_what_that_host_takes(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    one, two = lab.hosts
    ctl(one, "subnets", "reserve", "10.50.77.0/24", "--for-node", two.name)
    lab.start_daemons()
    assert own_key(lab, two) == "10.50.77.0-24"
    assert keys(lab)["10.50.77.0-24"].lease == 0
    assert_settled(lab)


def test_p29_pinned_subnet_outlives_its_etcd_lease_and_unpinned_is_renewed(lab: Lab) -> None:
    one = lab.hosts[0]
    key = own_key(lab, one)
    before = owned(lab, one)
    assert before is not None
    device = standing(lab, one)
    with undisturbed(*ring(lab)):
        ctl(one, "subnets", "pin", key.replace("-", "/"))
        eventually(lambda: conditions(one)["LeaseValid"]["reason"] == "Reserved", "it is known")
        assert keys(lab)[key].lease == 0
        one.daemon.restart()
        assert keys(lab)[key].lease == 0
        ctl(one, "subnets", "unpin", key.replace("-", "/"))
        eventually(lambda: conditions(one)["LeaseValid"]["reason"] == "Leased", "it is a lease again")
        entry = owned(lab, one)
        assert entry is not None
        assert lab.etcd.api.time_to_live(entry.lease) > 80_000
        assert_settled(lab)
    assert standing(lab, one) == device


@pytest.mark.parametrize("how", ["its node id at another address", "deleted and made again"])
def test_peers_raise_the_alarm_when_a_hosts_key_leads_elsewhere_while_it_answers(
    build_lab: BuildLab, how: str
) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    victim, peer = lab.hosts
    key = own_key(lab, victim)
    eventually(lambda: route_to(peer, key), "the peer knows it")

    victim.daemon.signal(signal.SIGSTOP)  # it could not defend itself
    try:
        node = victim.name if how.startswith("its node id") else ""
        if not node:
            delete(lab, key)
        put(lab, key, lease_value("10.99.16.7", node=node))
        eventually(
            lambda: conditions(peer)["PeerLeasesValid"]["reason"] == "ChangedHands",
            "the peer tells",
            deadline=15,
        )
        said = conditions(peer)["PeerLeasesValid"]
        assert said["message"].startswith(f"{key} leads to ")
        assert f"{victim.name} ({victim.address}), still answers" in said["message"]
        assert "etcd user" in said["cure"]
        delete(lab, key)
    finally:
        victim.daemon.signal(signal.SIGCONT)
    eventually(lambda: conditions(peer)["PeerLeasesValid"]["healthy"], "it ends with its cause", deadline=30)
