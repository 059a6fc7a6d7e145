"""`flanpyctl networks` on a real etcd."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.networks.change import undefine
from flanpy.store.port import KeyStore, KeyValue, Snapshot, Txn, TxnResult
from flanpy.store.session.etcd import EtcdSession
from tests.cli.conftest import Network
from tests.cli.stand_in import STATUS, StandIn

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
    lab = create(
        network, "lab", "10.197.0.0/24", "--internal", "--slice-size", "27", "--vni", "99", "--port", "4789"
    )
    assert (shop["port"], lab["port"]) == (8472, 4789)
    assert (shop["vni"], shop["slice_len"], shop["mtu"], shop["free"]) == (10_001, 24, 1400, 256)
    assert (lab["vni"], lab["slice_len"], lab["internal"], lab["free"]) == (99, 27, True, 8)
    network.session(lambda session: session.put(f"{network.prefix}/slices/shop/10.196.3.0-24", MINE.encode()))
    rows = json.loads(network("networks", "-o", "json").out)
    assert [(one["name"], one["hosts"], one["free"]) for one in rows] == [("lab", 0, 8), ("shop", 1, 255)]
    assert network("networks", "ls").out.splitlines()[0].split()[:3] == ["NAME", "SUBNET", "SLICE"]
    shown = json.loads(network("networks", "show", "shop", "-o", "json").out)
    assert shown["slices"] == [
        {
            "slice": "10.196.3.0/24",
            "ipv6_slice": "",
            "node_id": "node-7",
            "host": "h7",
            "public_ip": "192.0.2.7",
            "containers": None,
            "addresses": 254,
        }
    ]
    assert shown["containers"] == []
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
        (("new", "10.198.0.0/16", "--port", "65536"), Exit.FAILURE, "port 65536 of the network must be"),
        (("new", "ten"), Exit.FAILURE, "write 10.96.0.0/16"),
        (("new", "127.0.0.0/16"), Exit.FAILURE, "no container may have"),
        (("new", "10.198.0.0/16", "--ipv6", "fe80::/64"), Exit.FAILURE, "no container may have"),
        (("new", "10.198.0.0/16", "--ipv6", "10.198.0.0/16"), Exit.FAILURE, "no IPv6 range"),
        (("new", "10.198.0.0/16", "--ipv6", "fd00::/112"), Exit.FAILURE, "must be from /16 to /104"),
        (
            ("new", "10.198.0.0/16", "--ipv6", "fd00:96::/48"),
            Exit.REFUSED,
            "overlaps fd00:96::/64 of network",
        ),
        (("new", "10.198.0.0/16", "--ipv6", "--mtu", "1200"), Exit.FAILURE, "must be 1280 bytes or more"),
        (("--ipv6", "new", "10.198.0.0/16"), Exit.USAGE, "'new' is no IPv6 subnet: put --ipv6 behind NAME"),
        (("new", "10.198.0.0/16", "--hosts", "a b"), Exit.FAILURE, "host 'a b' of the network is no label"),
    ],
)
def test_bad_network_is_refused_in_one_line(
    network: Network, words: tuple[str, ...], code: Exit, said: str
) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16", "--ipv6", "fd00:96::/64")
    ended = network("networks", "create", *words)
    assert (ended.code, len(ended.err.splitlines())) == (code, 1), ended.err
    assert said in ended.err


DB = '{"Host":"h7","C":[["db",["10.196.3.2"],["api"],""],["web",["10.196.3.3"],[],""]]}'


def test_network_is_shown_with_the_containers_that_hosts_tell_of(network: Network) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")
    put(network, "slices/shop/10.196.3.0-24", MINE)
    put(network, "slices/shop/10.196.255.0-24", MINE.replace("7", "8"))
    put(network, "names/shop/node-7", DB)
    put(network, "names/shop/node-9", "{}")
    put(network, "names/shop2/node-7", DB)
    shown = json.loads(network("networks", "show", "shop", "-o", "json").out)
    fills = [(one["containers"], one["addresses"]) for one in shown["slices"]]
    assert fills == [(2, 254), (None, 253)]
    assert [one["name"] for one in shown["containers"]] == ["db", "web"]
    assert shown["containers"][0] == {
        "name": "db",
        "addresses": ["10.196.3.2"],
        "aliases": ["api"],
        "host": "h7",
        "node_id": "node-7",
    }
    told = network("networks", "show", "shop")
    rows = [line.split() for line in told.out.splitlines()]
    assert ["10.196.3.0/24", "node-7", "h7", "192.0.2.7", "2", "of", "254"] in rows
    assert ["10.196.255.0/24", "node-8", "h8", "192.0.2.8", "-"] in rows
    assert ["db", "10.196.3.2", "h7", "api"] in rows
    assert "names of 'node-9' on network 'shop' cannot be read" in told.err


def test_name_on_a_network_that_this_host_is_not_on_is_not_traced_from_here(
    network: Network, daemon: StandIn
) -> None:
    daemon.answers["status"] = {**STATUS, "networks": []}
    put(network, "names/shop/node-7", DB)
    ended = network("trace", "api.shop")
    assert ended.code == Exit.NOT_FOUND, ended.err
    assert "10.196.3.2 is on the named network 'shop', which this host is not on" in ended.err
    daemon.answers["status"] = {**STATUS, "networks": [{"name": "shop", "in_docker": False}]}
    ended = network("trace", "api.shop")
    assert (ended.code, len(ended.err.splitlines())) == (Exit.UNHEALTHY, 1)
    assert "'shop' is not in Docker of this host: flanpyctl docker networks" in ended.err


def test_network_with_containers_is_removed_by_force_alone(network: Network) -> None:
    network.configure(VXLAN)
    for name, subnet in (("shop", "10.196.0.0/16"), ("lab", "10.197.0.0/16")):
        create(network, name, subnet)
        put(network, f"names/{name}/node-8", '{"Host":"h8","C":[]}')
    put(network, "names/shop/node-7", DB)
    refused = network("networks", "rm", "shop")
    assert (refused.code, len(refused.err.splitlines())) == (Exit.REFUSED, 1)
    assert "network 'shop' has 2 containers: db on h7, web on h7; stop them" in refused.err
    assert network.text("networks/shop") is not None
    assert network("networks", "rm", "lab").code == Exit.OK
    assert network("networks", "rm", "shop", "--force").code == Exit.OK
    assert network("networks", "rm", "shop", "--force").code == Exit.NOT_FOUND


@dataclass
class StartsMeanwhile:
    """Implements `store.port.KeyStore`: after the first listing a container starts."""

    inner: KeyStore
    key: str

    async def list(self, prefix: str) -> Snapshot:
        listed = await self.inner.list(prefix)
        key, self.key = self.key, ""
        if key:
            await self.inner.put(key, DB.encode())
        return listed

    async def get(self, key: str) -> KeyValue | None:
        return await self.inner.get(key)

    async def txn(self, txn: Txn) -> TxnResult:
        return await self.inner.txn(txn)

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        return await self.inner.put(key, value, lease_id)

    async def delete(self, key: str) -> bool:
        return await self.inner.delete(key)


def test_container_that_starts_while_a_network_is_removed_keeps_it(network: Network) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")

    async def remove(session: EtcdSession) -> str:
        store = StartsMeanwhile(session, f"{network.prefix}/names/shop/node-7")
        with pytest.raises(CommandError) as refused:
            await undefine(store, network.prefix, "shop", force=False)
        return str(refused.value)

    assert "has 2 containers" in network.session(remove)
    assert network.text("networks/shop") is not None


def test_network_takes_the_port_that_the_overlay_has_and_keeps_it(network: Network) -> None:
    network.configure('{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan","Port":4789}}')
    assert create(network, "shop", "10.196.0.0/16")["port"] == 4789
    network.configure('{"Network":"10.50.0.0/16","Backend":{"Type":"udp","Port":8472}}')
    assert json.loads(network("networks", "show", "shop", "-o", "json").out)["port"] == 4789
    ended = network("networks", "create", "new", "10.198.0.0/16")
    assert ended.code == Exit.REFUSED
    assert "choose another with --port" in ended.err
    assert create(network, "new", "10.198.0.0/16", "--port", "4790")["port"] == 4790


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


def only_hosts(network: Network, name: str) -> list[str]:
    hosts: list[str] = json.loads(network("networks", "show", name, "-o", "json").out)["only_hosts"]
    return hosts


def put(network: Network, key: str, value: str) -> None:
    network.session(lambda session: session.put(f"{network.prefix}/{key}", value.encode()))


def test_ipv6_subnet_is_made_up_where_none_is_named(network: Network) -> None:
    network.configure(VXLAN)
    shop = create(network, "shop", "10.196.0.0/16", "--ipv6")
    assert shop["ipv6_subnet"].startswith("fd")
    assert shop["ipv6_subnet"].endswith("/64")
    put(network, "slices/shop/10.196.3.0-24", MINE)
    assert "IPV6 SLICE" in network("networks", "show", "shop").out
    lab = create(network, "lab", "10.197.0.0/16", "--ipv6", "fd00:97::/64")
    assert lab["ipv6_subnet"] == "fd00:97::/64"


def test_hosts_are_attached_to_a_network_and_leave_it(network: Network) -> None:
    network.configure(VXLAN)
    assert create(network, "shop", "10.196.0.0/16", "--hosts", "web,db", "--hosts", "h9")["only_hosts"] == [
        "web",
        "db",
        "h9",
    ]
    network.put("10.50.7.0-24", MINE)
    for words, after, said in (
        (("attach", "shop", "h7"), ["web", "db", "h9", "node-7"], "is put on network 'shop'"),
        (("attach", "shop", "node-7"), ["web", "db", "h9", "node-7"], "already"),
        (("leave", "shop", "10.50.7.9"), ["web", "db", "h9", "node-7", "!node-7"], "'h7' leaves network"),
        (
            ("leave", "shop", "h7"),
            ["web", "db", "h9", "node-7", "!node-7"],
            "has left network 'shop' already",
        ),
        (("attach", "shop", "h7"), ["web", "db", "h9", "node-7"], "is put on"),
    ):
        ended = network("networks", *words)
        assert ended.code == Exit.OK, ended.err
        assert said in ended.out
        assert only_hosts(network, "shop") == after
    for words in (("attach", "shop", "h8"), ("leave", "nosuch", "h7")):
        ended = network("networks", *words)
        assert (ended.code, len(ended.err.splitlines())) == (Exit.NOT_FOUND, 1)


def test_slices_of_a_host_that_is_gone_are_freed_and_those_of_a_living_one_are_not(network: Network) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")
    create(network, "lab", "10.197.0.0/16")
    for key in ("slices/shop/10.196.3.0-24", "slices/lab/10.197.4.0-24"):
        put(network, key, MINE)
    network.put("10.50.7.0-24", MINE, ttl=60)
    refused = network("networks", "forget", "h7")
    assert (refused.code, len(refused.err.splitlines())) == (Exit.REFUSED, 1)
    assert "holds a lease" in refused.err
    network.session(lambda session: session.delete(f"{network.prefix}/subnets/10.50.7.0-24"))
    freed = network("networks", "forget", "h7")
    assert freed.code == Exit.OK, freed.err
    assert "freed 2 slices of 'h7': 10.197.4.0/24 of lab, 10.196.3.0/24 of shop" in freed.out
    assert network.text("slices/shop/10.196.3.0-24") is None
    assert network("networks", "forget", "h7").code == Exit.NOT_FOUND


def test_what_was_exported_is_imported_where_it_is_missing_and_replaces_nothing(
    network: Network, tmp_path: Path
) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16", "--ipv6", "--hosts", "web")
    put(network, "slices/shop/10.196.3.0-24", MINE)
    file = tmp_path / "networks.json"
    file.write_text(network("networks", "export").out)
    before = network.text("networks/shop")
    assert network("networks", "import", str(file)).out == "wrote 0 keys; etcd had the others\n"
    assert network("networks", "rm", "shop").code == Exit.OK
    assert network("networks", "import", str(file)).out == "wrote 2 keys; etcd had the others\n"
    assert network.text("networks/shop") == before
    assert json.loads(network.text("slices/shop/10.196.3.0-24") or "") == json.loads(MINE)
    network("networks", "rm", "shop")
    create(network, "shop", "10.199.0.0/16")
    refused = network("networks", "import", str(file))
    assert (refused.code, len(refused.err.splitlines())) == (Exit.CONFLICT, 1)
    network("networks", "rm", "shop")
    create(network, "other", "10.196.0.0/16", "--vni", "77")
    refused = network("networks", "import", str(file))
    assert "overlaps 10.196.0.0/16 of network 'other'" in refused.err
    assert network.text("networks/shop") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Networks": [{"Name": "shop"}]}', "[" * 3000, "\x00"])
def test_file_that_is_no_export_is_refused_in_one_line(network: Network, tmp_path: Path, text: str) -> None:
    network.configure(VXLAN)
    file = tmp_path / "networks.json"
    file.write_text(text)
    refused = network("networks", "import", str(file))
    assert (refused.code, len(refused.err.splitlines())) == (Exit.FAILURE, 1), refused.err


def linked(network: Network, name: str) -> list[dict[str, Any]]:
    shown: dict[str, Any] = json.loads(network("networks", "show", name, "-o", "json").out)
    return list(shown["links"])


def test_networks_are_linked_and_unlinked_in_either_order(network: Network) -> None:
    network.configure(VXLAN)
    create(network, "shop", "10.196.0.0/16")
    create(network, "billing", "10.197.0.0/16")
    ended = network("networks", "link", "shop", "billing", "--port", "5432", "--port", "53/udp")
    assert (
        ended.out
        == "networks 'shop' and 'billing' may talk by 53/udp, 5432/tcp, on every host that is on both\n"
    )
    for name, other in (("shop", "billing"), ("billing", "shop")):
        assert linked(network, name) == [{"network": other, "ports": ["53/udp", "5432/tcp"]}]
        assert f"linked      {other} by 53/udp, 5432/tcp" in network("networks", "show", name).out
    assert network("networks", "unlink", "billing", "shop").code == Exit.OK
    assert linked(network, "shop") == linked(network, "billing") == []
    assert network("networks", "link", "shop", "billing").code == Exit.OK
    assert linked(network, "shop") == [{"network": "billing", "ports": []}]


def test_link_goes_with_a_network_and_is_not_that_of_another_one_of_its_name(network: Network) -> None:
    network.configure(VXLAN)
    for name, subnet in (("shop", "10.196.0.0/16"), ("billing", "10.197.0.0/16")):
        create(network, name, subnet)
    network("networks", "link", "shop", "billing")
    network("networks", "rm", "shop")
    create(network, "shop", "10.196.0.0/16")
    assert linked(network, "shop") == linked(network, "billing") == []
    create(network, "lab", "10.198.0.0/16")
    assert network("networks", "link", "billing", "lab").code == Exit.OK
    assert (network.text("networks/billing") or "").count('"Ports"') == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("link", "shop", "billing"), Exit.CONFLICT, "linked already"),
        (("link", "billing", "shop", "--port", "80"), Exit.CONFLICT, "linked already"),
        (("link", "shop", "nowhere"), Exit.NOT_FOUND, "there is no network 'nowhere'"),
        (("link", "shop", "shop"), Exit.USAGE, "with itself"),
        (("link", "shop", "inside"), Exit.REFUSED, "'inside' is internal"),
        (("link", "shop", "lab", "--port", "http"), Exit.USAGE, "write 5432"),
        (("unlink", "shop", "lab"), Exit.NOT_FOUND, "are not linked"),
        (("unlink", "shop", "nowhere"), Exit.NOT_FOUND, "there is no network 'nowhere'"),
    ],
)
def test_bad_link_is_refused_in_one_line(
    network: Network, words: tuple[str, ...], code: Exit, said: str
) -> None:
    network.configure(VXLAN)
    for name, subnet in (("shop", "10.196.0.0/24"), ("billing", "10.197.0.0/24"), ("lab", "10.198.0.0/24")):
        create(network, name, subnet)
    create(network, "inside", "10.199.0.0/24", "--internal")
    network("networks", "link", "shop", "billing")
    before = network.text("networks/billing"), network.text("networks/shop")
    ended = network("networks", *words)
    assert (ended.code, len(ended.err.splitlines())) == (code, 1), ended.err
    assert said in ended.err
    assert (network.text("networks/billing"), network.text("networks/shop")) == before


def test_network_that_is_to_be_encrypted_needs_an_overlay_that_is(network: Network) -> None:
    network.configure(VXLAN)
    ended = network("networks", "create", "shop", "10.196.0.0/16", "--encrypted")
    assert (ended.code, ended.err.count("\n")) == (Exit.REFUSED, 1)
    assert "network set --encrypt first" in ended.err
    assert network("networks", "show", "shop").code == Exit.NOT_FOUND
    assert network("network", "set", "--encrypt").code == Exit.OK
    assert create(network, "shop", "10.196.0.0/16", "--encrypted")["name"] == "shop"
