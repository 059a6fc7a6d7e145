"""`flanpyctl networks` on a real etcd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flanpy.cli.base.exits import Exit
from tests.cli.conftest import Network

pytestmark = pytest.mark.etcd

VXLAN = '{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan","VNI":7}}'
MINE = '{"PublicIP":"192.0.2.7","PublicIPv6":null,"NodeID":"node-7","HostName":"h7"}'


def create(network: Network, *words: str) -> dict[str, Any]:
    ended = network("networks", "create", *words, "-o", "json")
    assert ended.code == Exit.OK, ended.err
    said: dict[str, Any] = json.loads(ended.out)
    return said


def test_networks_are_created_listed_shown_and_removed(network: Network) -> None:
    network.configure(VXLAN)
    shop = create(network, "shop", "10.196.0.0/16", "--mtu", "1400")
    lab = create(network, "lab", "10.197.0.0/24", "--internal", "--slice-size", "27", "--vni", "99")
    assert (shop["vni"], shop["slice_len"], shop["mtu"], shop["free"]) == (10_001, 24, 1400, 256)
    assert (lab["vni"], lab["slice_len"], lab["internal"], lab["free"]) == (99, 27, True, 8)
    network.session(lambda session: session.put(f"{network.prefix}/slices/shop/10.196.3.0-24", MINE.encode()))
    rows = json.loads(network("networks", "-o", "json").out)
    assert [(one["name"], one["hosts"], one["free"]) for one in rows] == [("lab", 0, 8), ("shop", 1, 255)]
    assert network("networks", "ls").out.splitlines()[0].split()[:3] == ["NAME", "SUBNET", "SLICE"]
    shown = json.loads(network("networks", "show", "shop", "-o", "json").out)
    assert shown["slices"] == [
        {"slice": "10.196.3.0/24", "node_id": "node-7", "host": "h7", "public_ip": "192.0.2.7"}
    ]
    assert "10.196.3.0/24" in network("networks", "show", "shop").out
    assert network("networks", "rm", "shop").code == Exit.OK
    assert network.text("slices/shop/10.196.3.0-24") is None
    assert network("networks", "rm", "shop").code == Exit.NOT_FOUND
    assert network("networks", "show", "shop").code == Exit.NOT_FOUND
    assert [one["name"] for one in json.loads(network("networks", "-o", "json").out)] == ["lab"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("shop", "10.198.0.0/16"), Exit.CONFLICT, "there is a network 'shop'"),
        (("a b", "10.198.0.0/16"), Exit.FAILURE, "none that Docker takes"),
        (("host", "10.198.0.0/16"), Exit.FAILURE, "Docker's own"),
        (("new", "10.196.9.0/24"), Exit.REFUSED, "overlaps 10.196.0.0/16 of network 'shop'"),
        (("new", "10.50.0.0/20"), Exit.REFUSED, "overlaps the overlay's own network 10.50.0.0/16"),
        (("new", "10.198.0.0/16", "--vni", "10001"), Exit.REFUSED, "VNI 10001 is that of network 'shop'"),
        (("new", "10.198.0.0/16", "--vni", "7"), Exit.REFUSED, "VNI 7 is the overlay's own"),
        (("new", "10.198.0.0/16", "--slice-size", "16"), Exit.FAILURE, "slice size 16"),
        (("new", "10.198.0.0/16", "--mtu", "1"), Exit.FAILURE, "MTU 1 "),
        (("new", "ten"), Exit.FAILURE, "write 10.96.0.0/16"),
        (("new", "127.0.0.0/16"), Exit.FAILURE, "no container may have"),
    ],
)
def test_bad_network_is_refused_in_one_line(
    network: Network, words: tuple[str, ...], code: Exit, said: str
) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")
    ended = network("networks", "create", *words)
    assert (ended.code, len(ended.err.splitlines())) == (code, 1), ended.err
    assert said in ended.err


def test_network_needs_the_overlays_config_first(network: Network) -> None:
    ended = network("networks", "create", "shop", "10.196.0.0/16")
    assert ended.code == Exit.NOT_FOUND
    assert "flanpyctl network init" in ended.err


def test_unreadable_definition_is_named_and_hides_no_other(network: Network) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")
    network.session(lambda session: session.put(f"{network.prefix}/networks/bad", b"{}"))
    ended = network("networks", "-o", "json")
    assert [one["name"] for one in json.loads(ended.out)] == ["shop"]
    assert "bad" in ended.err
    assert network("networks", "rm", "bad").code == Exit.OK
