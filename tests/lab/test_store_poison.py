"""P16 and failures 1, 2, 14, 15: no value in etcd harms more than itself, and each that is refused is named."""

from __future__ import annotations

import json

import pytest

from integration.lab import ETCD_PREFIX, Host, Lab, simulated_peers, write_peers
from tests.lab.etcd_side import (
    SUBNETS,
    conditions,
    ctl,
    delete,
    lease_value,
    on_each,
    own_key,
    own_keys,
    put,
    ring,
    route_to,
    undisturbed,
)
from tests.lab.overlay import assert_settled, eventually, metric, standing

pytestmark = pytest.mark.lab

VALID = ("10.50.250.0-24", lease_value("10.99.16.250", "02:fa:00:00:00:fa"))
FREE = "10.50.201.0-24"
STRANGER = "10.99.16.201"

POISON = {
    "garbage": (FREE, "{{{"),
    "empty": (FREE, ""),
    "no_object": (FREE, '["PublicIP"]'),
    "null": (FREE, "null"),
    "nested_deeply": (FREE, "[" * 100_000),
    "a_megabyte": (FREE, "x" * 1_000_000),
    "number_for_an_address": (FREE, lease_value(STRANGER).replace(f'"{STRANGER}"', "169082880")),
    "failure_15_bad_ip": (FREE, lease_value("10.99.1.999")),
    "failure_15_no_mac": (FREE, lease_value(STRANGER, None)),
    "failure_15_mac_null": (FREE, lease_value(STRANGER, BackendData={"VNI": 1, "VtepMAC": None})),
    "failure_15_mac_short": (FREE, lease_value(STRANGER, "02:fa:00")),
    "failure_15_data_is_text": (FREE, lease_value(STRANGER, BackendData="oops")),
    "failure_15_broken_json": (FREE, lease_value(STRANGER)[:-9]),
    "no_public_ip": (FREE, lease_value(STRANGER).replace(f'"{STRANGER}"', "null")),
    "zero_mac": (FREE, lease_value(STRANGER, "00:00:00:00:00:00")),
    "multicast_mac": (FREE, lease_value(STRANGER, "01:00:5e:00:00:01")),
    "broadcast_mac": (FREE, lease_value(STRANGER, "ff:ff:ff:ff:ff:ff")),
    "unspecified_ip": (FREE, lease_value("0.0.0.0")),
    "multicast_ip": (FREE, lease_value("224.0.0.1")),
    "loopback_ip": (FREE, lease_value("127.0.0.1")),
    "broadcast_ip": (FREE, lease_value("255.255.255.255")),
    "public_ip_inside_the_overlay": (FREE, lease_value("10.50.201.7")),
    "other_backend": (FREE, lease_value(STRANGER, BackendType="host-gw")),
    "no_subnet": ("hello", lease_value(STRANGER)),
    "key_with_a_slash": ("10.50.201.0/24", lease_value(STRANGER)),
    "host_bits": ("10.50.201.5-24", lease_value(STRANGER)),
    "no_address": ("10.50.300.0-24", lease_value(STRANGER)),
    "no_prefix_length": ("10.50.201.0-33", lease_value(STRANGER)),
    "failure_14_over_the_underlay": ("10.99.0.0-16", lease_value(STRANGER)),
    "failure_14_outside": ("10.77.0.0-16", lease_value(STRANGER)),
    "failure_14_ten": ("10.0.0.0-8", lease_value(STRANGER)),
    "failure_14_everything": ("0.0.0.0-0", lease_value(STRANGER)),
    "failure_14_host_route_to_the_underlay": ("10.99.1.2-32", lease_value(STRANGER)),
    "failure_14_the_whole_network": ("10.50.0.0-16", lease_value(STRANGER)),
}


@pytest.mark.parametrize("name", POISON)
def test_p16_poison_is_named_and_harms_nothing(lab: Lab, name: str) -> None:
    host = lab.hosts[0]
    key, value = POISON[name]
    before = {each.name: standing(lab, each) for each in lab.hosts}

    with undisturbed(ring(lab)[0]):
        put(lab, key, value)
        put(lab, *VALID)  # what comes after the poison is handled at once
        eventually(lambda: route_to(host, VALID[0]), "the valid peer is programmed")
        added = standing(lab, host) - before[host.name]
        assert len(added) == 3, added
        assert all("10.50.250.0" in line or "02:fa:00:00:00:fa" in line for line in added), added
        assert not before[host.name] - standing(lab, host)
        assert_is_named(host, key)
        delete(lab, VALID[0])
        eventually(lambda: all(standing(lab, each) == before[each.name] for each in lab.hosts), "as before")
        delete(lab, key)
        eventually(lambda: unusable(host) == 0, "the condition is cleared")

    assert all(each.daemon.starts == 1 and each.daemon.is_ready() for each in lab.hosts)
    eventually(lambda: conditions(host)["PeerLeasesValid"]["healthy"], "nothing is named any more")


def unusable(host: Host) -> float:
    return metric(host, "flanpy_leases_invalid") + metric(host, "flanpy_peers", state="rejected")


def assert_is_named(host: Host, key: str) -> None:
    eventually(lambda: unusable(host) == 1, lambda: f"{unusable(host)} keys are counted")
    said = conditions(host)["PeerLeasesValid"]
    assert said["status"] == "False"
    assert said["reason"] in {"Unusable", "KeptOut"}
    assert key in said["message"], said
    listing = json.loads(ctl(host, "subnets", "-o", "json"))
    assert key in json.dumps(listing), listing


def test_failure_01_ten_poisons_at_once_leave_every_peer(lab: Lab) -> None:
    taken = {name: poison for name, poison in POISON.items() if poison[0] != FREE}
    before = {each.name: standing(lab, each) for each in lab.hosts}
    with undisturbed(*ring(lab)):
        lab.etcd.api.put_all((SUBNETS + key, value) for key, value in taken.values())
        eventually(
            lambda: all(unusable(host) == len(taken) for host in lab.hosts),
            lambda: [unusable(host) for host in lab.hosts],
        )
        assert {each.name: standing(lab, each) for each in lab.hosts} == before
        for key, _ in taken.values():
            delete(lab, key)
        eventually(lambda: not any(unusable(host) for host in lab.hosts), "all are gone")


def test_failure_02_dual_stack_lease_gives_its_ipv4_part_in_an_ipv4_network(lab: Lab) -> None:
    host = lab.hosts[0]
    key = "10.50.202.0-24&fd50:1:0:4c::-64"
    data6 = {"VNI": 1, "VtepMAC": "02:fa:00:00:00:66"}
    with undisturbed(ring(lab)[0]):
        put(
            lab,
            key,
            lease_value("10.99.16.202", "02:fa:00:00:00:22", PublicIPv6="fd99::77", BackendV6Data=data6),
        )
        eventually(lambda: route_to(host, "10.50.202.0-24"), "the IPv4 part is a peer")
        put(lab, *VALID)
        eventually(lambda: route_to(host, VALID[0]), "later events are handled")
        assert not [line for line in standing(lab, host) if "fd50" in line or "0:66" in line]
        delete(lab, key)
        delete(lab, VALID[0])
        assert_settled(lab)


def test_p16_overlapping_leases_are_refused_by_age_and_named(lab: Lab) -> None:
    one, two, three = lab.hosts
    theirs = own_key(lab, two)
    half = theirs.replace("-24", "-25")
    with undisturbed(*ring(lab)):
        put(lab, half, lease_value(STRANGER))
        for host in (one, three):
            on_each([host], lambda host: unusable(host) == 1, "the overlap is counted")
            message = conditions(host)["PeerLeasesValid"]["message"]
            assert half in message
            assert theirs in message
            assert two.name in message
        eventually(lambda: half in conditions(two)["PeerLeasesValid"]["message"], "the owner is told")
        assert two.daemon.is_ready()
        assert_routes_only_to(lab, theirs)
        delete(lab, half)
        assert_settled(lab)


def assert_routes_only_to(lab: Lab, key: str) -> None:
    base = key.rsplit(".", 1)[0]
    for host in lab.hosts:
        for line in standing(lab, host):
            assert not (line.startswith(f"route {base}.") and "/25" in line), line


def test_p16_deleting_the_prefix_tears_nothing_down_and_all_register_anew(lab: Lab) -> None:
    gone = simulated_peers(14, network="10.50.0.0/16", first=180)
    write_peers(lab.etcd.api, gone)
    assert_settled(lab)
    subnets = own_keys(lab)

    with undisturbed(*ring(lab)):
        lab.etcd.api.delete_prefix(SUBNETS)
        eventually(lambda: own_keys(lab) == subnets, lambda: own_keys(lab))
        for host in lab.hosts:
            # The brake holds for some seconds only: what it said is read from the log.
            on_each([host], lambda host: holds(host, gone[0].key) or released(host), "14 peers are held")
            on_each([host], lambda host: held_peers(host)[-1:] == ["14 of 16 peers"], "the log says so")
        # The second listing agrees: what is really gone goes.
        assert_settled(lab, deadline=15)

    on_each(lab.hosts, lambda host: metric(host, "flanpy_held_deletions") == 0, "nothing is held")
    assert all(host.daemon.starts == 1 for host in lab.hosts)


def holds(host: Host, key: str) -> bool:
    """Report whether the brake holds 14 peers, and with them the one of this key."""
    return route_to(host, key) is not None and metric(host, "flanpy_held_deletions") == 14


def released(host: Host) -> bool:
    """Report whether the brake has held peers and let go of them."""
    return bool(host.daemon.events("mass_delete_released"))


def held_peers(host: Host) -> list[str]:
    """Return how many of how many peers the brake held, each time that it did."""
    raised = [one for one in host.daemon.events("condition_raised") if one["condition"] == "MassDeleteHeld"]
    return [one["error"].partition(" vanished")[0] for one in raised]


def test_p16_keys_beside_the_subnets_are_left_alone(lab: Lab) -> None:
    before = standing(lab, lab.hosts[0])
    neighbours = [f"{ETCD_PREFIX}/subnetsx/10.50.9.0-24", f"{ETCD_PREFIX}/other", f"{ETCD_PREFIX}2/config"]
    for key in neighbours:
        lab.etcd.api.put(key, lease_value(STRANGER))
    put(lab, *VALID)
    eventually(lambda: route_to(lab.hosts[0], VALID[0]), "the valid peer is programmed")
    delete(lab, VALID[0])
    eventually(lambda: standing(lab, lab.hosts[0]) == before, "as before")
    for key in neighbours:
        lab.etcd.api.delete(key)


def test_p16_deleting_the_prefix_of_a_small_cluster_costs_no_datagram(lab: Lab) -> None:
    """Too few for the brake: the leases linger until they are back."""
    subnets = own_keys(lab)
    with undisturbed(*ring(lab)):
        for _ in range(3):
            lab.etcd.api.delete_prefix(SUBNETS)
            eventually(lambda: own_keys(lab) == subnets, lambda: own_keys(lab))
            assert_settled(lab)
