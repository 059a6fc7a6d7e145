"""The network config changes while daemons run: what is safe is followed, the rest is held, nonsense is named."""

from __future__ import annotations

import json

import pytest

from integration.lab import Host, Lab
from tests.lab.etcd_side import CONFIG, conditions, on_each, own_keys, put_config, ring, status, undisturbed
from tests.lab.overlay import assert_settled, eventually, standing

pytestmark = pytest.mark.lab


@pytest.fixture
def steady(lab: Lab) -> Lab:
    """The lab with its usual config, whatever the test before left."""
    put_config(lab)
    for host in lab.hosts:
        wait_valid(host)
    assert_settled(lab, deadline=10)
    return lab


def wait_valid(host: Host) -> None:
    eventually(
        lambda: all(conditions(host)[kind]["healthy"] for kind in ("NetworkConfigValid", "RestartNeeded")),
        f"{host.name} has taken the config",
        deadline=10,
    )


def everything(lab: Lab) -> dict[str, set[str]]:
    return {host.name: standing(lab, host) for host in lab.hosts}


def test_mtu_change_is_followed_without_a_restart(steady: Lab) -> None:
    subnets = own_keys(steady)
    with undisturbed(*ring(steady)):
        put_config(steady, Backend={"Type": "vxlan", "MTU": 1400})
        assert_settled(steady)
        for host in steady.hosts:
            on_each([host], lambda host: host.subnet_file.mtu == 1350, "subnet.env follows")
        put_config(steady)
        assert_settled(steady)
        for host in steady.hosts:
            on_each([host], lambda host: host.subnet_file.mtu == 1450, "subnet.env follows")
    assert own_keys(steady) == subnets
    assert all(host.daemon.starts == 1 for host in steady.hosts)


def test_direct_routing_is_followed_both_ways_without_a_restart(steady: Lab) -> None:
    with undisturbed(*ring(steady)):
        for _ in range(3):
            put_config(steady, Backend={"Type": "vxlan", "DirectRouting": True})
            assert_settled(steady)
            put_config(steady)
            assert_settled(steady)
    assert all(host.daemon.starts == 1 for host in steady.hosts)


UNSAFE: dict[str, dict[str, object]] = {
    "another_network": {"Network": "10.60.0.0/16"},
    "a_smaller_network_without_our_subnets": {"Network": "10.50.254.0/23", "SubnetLen": 26},
    "ipv6": {"EnableIPv6": True, "IPv6Network": "fd50::/48"},
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_change_is_held_until_a_restart_and_named(steady: Lab, name: str) -> None:
    before, subnets = everything(steady), own_keys(steady)
    with undisturbed(*ring(steady)):
        put_config(steady, **UNSAFE[name])
        for host in steady.hosts:
            on_each([host], lambda host: not conditions(host)["RestartNeeded"]["healthy"], "it is held")
            assert conditions(host)["RestartNeeded"]["reason"] == "ConfigChanged"
            assert host.daemon.is_ready()
        assert everything(steady) == before
        assert own_keys(steady) == subnets
        put_config(steady)
        for host in steady.hosts:
            wait_valid(host)
        assert everything(steady) == before


def test_subnet_length_is_followed_for_hosts_to_come_and_keeps_those_there_are(steady: Lab) -> None:
    before, subnets = everything(steady), own_keys(steady)
    host = steady.hosts[0]
    with undisturbed(*ring(steady)):
        put_config(steady, SubnetLen=26)
        for each in steady.hosts:
            on_each([each], lambda each: status(each)["network"]["subnet_len"] == 26, "it is in force")
        assert conditions(host)["RestartNeeded"]["healthy"]
        host.daemon.restart()
        assert own_keys(steady) == subnets
        assert everything(steady) == before


NONSENSE = {
    "garbage": "{{{",
    "empty": "",
    "no_object": "[]",
    "no_network": '{"Backend": {"Type": "vxlan"}}',
    "bad_network": '{"Network": "10.50.0.0/99", "Backend": {"Type": "vxlan"}}',
    "bad_option": '{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": "many"}}',
    "unknown_backend": '{"Network": "10.50.0.0/16", "Backend": {"Type": "pigeon"}}',
    "deleted": None,
}


@pytest.mark.parametrize("name", NONSENSE)
def test_p16_unreadable_config_is_named_and_the_old_one_stays_in_force(steady: Lab, name: str) -> None:
    before, value = everything(steady), NONSENSE[name]
    with undisturbed(*ring(steady)):
        if value is None:
            steady.etcd.api.delete(CONFIG)
        else:
            steady.etcd.api.put(CONFIG, value)
        for host in steady.hosts:
            on_each([host], lambda host: not conditions(host)["NetworkConfigValid"]["healthy"], "it is named")
            said = conditions(host)["NetworkConfigValid"]
            assert (said["status"], said["reason"]) == ("False", "Invalid")
            assert said["message"]
            assert host.daemon.is_ready(), "the overlay works on"
        assert everything(steady) == before
        put_config(steady)
        for host in steady.hosts:
            wait_valid(host)
        assert everything(steady) == before


def test_host_that_starts_with_an_unreadable_config_uses_the_one_from_disk(steady: Lab) -> None:
    host = steady.hosts[0]
    before = everything(steady)
    with undisturbed(*ring(steady)):
        steady.etcd.api.put(CONFIG, "{{{")
        host.daemon.kill()
        host.daemon.up()
        eventually(lambda: not conditions(host)["NetworkConfigValid"]["healthy"], "it is named")
        assert everything(steady) == before
        put_config(steady)
        wait_valid(host)
    assert json.loads(steady.etcd.api.list(CONFIG)[0].value)["Network"] == "10.50.0.0/16"
    assert_settled(steady)
