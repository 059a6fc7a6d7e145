"""`flanpyctl keys revoke`, `allow` and `rotate --all` on a real etcd."""

from __future__ import annotations

import json

import pytest

from flanpy.store.port import KeyValue
from tests.cli.conftest import Network

pytestmark = pytest.mark.etcd

KEY = "hPGDGJ+3WeNBhZnEbLQhVg8sTYVEnZi8bGGLW6CN5zA="
RECORD = (
    '{"PublicIP":"192.0.2.%d","PublicIPv6":null,"BackendType":"wireguard",'
    '"BackendData":{"PublicKey":"%s","Port":51820}%s}'
)


@pytest.fixture
def hosts(network: Network) -> Network:
    """Ours, another of flanpy, and one of flannel."""
    network.put("10.50.10.0-24", RECORD % (10, "A" + KEY[1:], ',"NodeID":"node-1"'), ttl=5000)
    network.put("10.50.11.0-24", RECORD % (11, KEY, ',"NodeID":"n/2","HostName":"web-2"'), ttl=5000)
    network.put("10.50.12.0-24", RECORD % (12, "B" + KEY[1:], ""), ttl=5000)
    return network


def _below(network: Network, what: str) -> dict[str, KeyValue]:
    prefix = f"{network.prefix}/{what}/"
    found = network.session(lambda store: store.list(prefix))
    return {item.key.removeprefix(prefix): item for item in found.items}


def test_host_is_put_on_the_list_its_lease_goes_and_it_is_taken_back(hosts: Network) -> None:
    ended = hosts("keys", "revoke", "web-2")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("web-2 is revoked")
    (entry,) = _below(hosts, "keys/revoked").items()
    value = json.loads(entry[1].value)
    assert (entry[0], value["NodeID"], value["Keys"], value["Host"]) == ("n%2F2", "n/2", [KEY], "web-2")
    assert sorted(_below(hosts, "subnets")) == ["10.50.10.0-24", "10.50.12.0-24"]
    assert hosts("keys", "allow", "web-2").out == "web-2 may take part again\n"
    assert _below(hosts, "keys/revoked") == {}
    ended = hosts("keys", "allow", "web-2")
    assert (ended.code, ended.err) == (4, "flanpyctl: 'web-2' is not revoked; revoked: nobody\n")


def test_host_of_flannel_is_known_by_its_key(hosts: Network) -> None:
    assert hosts("keys", "revoke", "192.0.2.12").code == 0
    assert hosts("keys", "allow", "BPGDGJ+3").code == 0


def test_what_would_hurt_or_names_nobody_is_refused_unless_it_is_meant(hosts: Network) -> None:
    own, nobody = hosts("keys", "revoke", "node-1"), hosts("keys", "revoke", "web-9")
    assert (own.code, nobody.code) == (7, 4)
    assert "that is this host" in own.err
    assert "no host 'web-9' has a lease" in nobody.err
    assert _below(hosts, "keys/revoked") == {}
    assert hosts("keys", "revoke", "web-9", "--force").code == 0
    assert list(_below(hosts, "keys/revoked")) == ["web-9"]


def test_rotation_of_all_names_flannels_hosts_and_those_that_did_not_follow_in_time(hosts: Network) -> None:
    ended = hosts("keys", "rotate", "--all", "--timeout", "0.5")
    assert ended.code == 1
    assert ended.out == "left as they are, hosts of flannel: 1 host (10.50.12.0-24)\n"
    assert ended.err.startswith("flanpyctl: not yet: node-1, web-2; a host that is away")
    assert "request" in _below(hosts, "keys/rotation")


def test_rotation_of_all_needs_a_host_with_a_key(network: Network) -> None:
    ended = network("keys", "rotate", "--all")
    assert (ended.code, _below(network, "keys/rotation")) == (4, {})
    assert network("keys", "rotate", "--timeout", "3").code == 2
