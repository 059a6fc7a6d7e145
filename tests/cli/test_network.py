"""`flanpyctl network` on a real etcd."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.config import network as commands
from flanpy.model.network.config import parse_network_config
from flanpy.store.port import KeyStore, Snapshot
from flanpy.store.session.etcd import EtcdSession
from tests.cli.conftest import Ctl, Network

pytestmark = pytest.mark.etcd

VXLAN = '{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan","VNI":7}}'
VXLAN_TEXT = json.dumps(json.loads(VXLAN))
LEASE = '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"host-gw"}'


def test_init_writes_what_was_said_and_show_fills_the_defaults_in(network: Network) -> None:
    ended = network("network", "init", "10.50.0.0/16", "--option", "vni=7", "--option", "DirectRouting=true")
    assert ended.code == 0
    assert json.loads(network.text("config") or "") == {
        "Network": "10.50.0.0/16",
        "Backend": {"Type": "vxlan", "VNI": 7, "DirectRouting": True},
    }
    shown = network("network", "show")
    assert (shown.code, shown.out) == (0, ended.out)
    assert shown.out.splitlines()[:5] == [
        "Network       10.50.0.0/16",
        "SubnetLen     24",
        "SubnetMin     10.50.1.0",
        "SubnetMax     10.50.255.0",
        "Backend       vxlan",
    ]
    assert network("network").out == shown.out


def test_init_of_both_families(network: Network) -> None:
    words = ("10.50.0.0/16", "--network6", "fd50:1::/48", "--subnet-len", "26", "--subnet-min", "10.50.9.0")
    assert network("network", "init", *words).code == 0
    shown = json.loads(network("network", "show", "-o", "json").out)
    assert (shown["SubnetLen"], shown["SubnetMin"], shown["IPv6Network"], shown["IPv6SubnetLen"]) == (
        26,
        "10.50.9.0",
        "fd50:1::/48",
        64,
    )


def test_init_exits_6_and_leaves_the_config_that_exists(network: Network) -> None:
    network.configure(VXLAN)
    ended = network("network", "init", "10.99.0.0/16")
    assert ended.code == 6
    assert f"{network.prefix}/config exists" in ended.err
    assert network.text("config") == VXLAN


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["10.50.0.0"], "10.50.0.0"),
        (["10.50.0.0/16", "--subnet-len", "8"], "SubnetLen"),
        (["10.50.0.0/16", "--backend", "vxlna"], "vxlan"),
        (["10.50.0.0/16", "--option", "VNI=-4"], "-4"),
    ],
    ids=" ".join,
)
def test_init_exits_1_and_writes_nothing_when_the_config_is_wrong(
    words: list[str], named: str, network: Network
) -> None:
    ended = network("network", "init", *words)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert named in ended.err
    assert network.text("config") is None


def test_init_exits_2_when_an_option_has_no_value(network: Network) -> None:
    ended = network("network", "init", "10.50.0.0/16", "--option", "VNI")
    assert ended.code == 2
    assert "'VNI'" in ended.err


@pytest.mark.parametrize("words", [["show"], ["validate"]], ids=" ".join)
def test_config_that_is_not_there_exits_4(words: list[str], network: Network) -> None:
    ended = network("network", *words)
    assert ended.code == 4
    assert "flanpyctl network init" in ended.err


def test_set_replaces_the_config_from_a_file_byte_for_byte(network: Network) -> None:
    network.configure(VXLAN)
    file = network.ctl.run_dir / "network.json"
    file.write_text('{ "Network": "10.60.0.0/16",\n "Backend": {"Type": "vxlan"} }')
    assert network("network", "set", str(file)).code == 0
    assert network.text("config") == file.read_text()


def test_set_reads_standard_input_and_creates_the_config(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(VXLAN))
    assert network("network", "set", "-").code == 0
    assert network.text("config") == VXLAN


def test_set_exits_7_when_subnets_in_use_would_be_left_outside_and_writes_with_force(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.configure('{"Network":"10.60.0.0/16","Backend":{"Type":"vxlan"}}')
    network.put("10.60.1.0-24", LEASE, ttl=1000)
    network.put("junk", LEASE)
    monkeypatch.setattr("sys.stdin", io.StringIO(VXLAN))
    refused = network("network", "set", "-")
    assert refused.code == 7
    assert "1 subnet in use" in refused.err
    assert "10.60.1.0/24" in refused.err
    assert "--force" in refused.err
    assert "10.60.0.0" in (network.text("config") or "")
    monkeypatch.setattr("sys.stdin", io.StringIO(VXLAN))
    assert network("network", "set", "-", "--force").code == 0
    assert network.text("config") == VXLAN


@pytest.mark.parametrize("network_of_all", ["0.0.0.0/1", "11.0.0.0/16"])
def test_init_and_set_exit_7_for_a_network_that_hosts_do_not_allow_unless_forced(
    network: Network, monkeypatch: pytest.MonkeyPatch, network_of_all: str
) -> None:
    words = ("network", "init", network_of_all, "--subnet-len", "24")
    refused = network(*words)
    assert refused.code == 7
    assert "allowed-network" in refused.err
    assert "--force" in refused.err
    assert network.text("config") is None
    assert network(*words, "--force").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"Network": network_of_all, "SubnetLen": 25})))
    assert network("network", "set", "-").code == 7


def test_set_exits_7_for_a_backend_that_leads_nowhere_and_marks_it_as_meant_with_force(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.configure(VXLAN)
    nowhere = json.dumps({"Network": "10.50.0.0/16", "Backend": {"Type": "alloc"}})
    monkeypatch.setattr("sys.stdin", io.StringIO(nowhere))
    refused = network("network", "set", "-")
    assert refused.code == 7
    assert "tear down its vxlan overlay" in refused.err
    assert network.text("config") == VXLAN
    monkeypatch.setattr("sys.stdin", io.StringIO(nowhere))
    assert network("network", "set", "-", "--force").code == 0
    assert json.loads(network.text("config") or "") == {**json.loads(nowhere), "Deliberate": True}


class Meddler:
    """The real store, in which somebody else writes the config while the subnets are being listed."""

    def __init__(self, store: KeyStore, key: str) -> None:
        self._store = store
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def list(self, prefix: str) -> Snapshot:
        await self._store.put(self._key, b"someone else's")
        return await self._store.list(prefix)


@pytest.mark.parametrize("there", [True, False])
def test_set_is_a_conflict_when_someone_else_writes_the_config_meanwhile(
    there: bool, network: Network
) -> None:
    if there:
        network.configure(VXLAN)
    config = parse_network_config(VXLAN)

    async def work(session: EtcdSession) -> None:
        meddler = cast(KeyStore, Meddler(session, f"{network.prefix}/config"))
        await commands.write(meddler, network.prefix, config, force=False)

    with pytest.raises(CommandError) as raised:
        network.session(work)
    assert raised.value.code is Exit.CONFLICT
    assert network.text("config") == "someone else's"


def test_set_exits_2_when_the_file_cannot_be_read(network: Network) -> None:
    ended = network("network", "set", "/nowhere/network.json")
    assert ended.code == 2
    assert "'/nowhere/network.json': No such file or directory" in ended.err


def test_validate_judges_a_file_without_etcd(ctl: Ctl) -> None:
    file = ctl.run_dir / "network.json"
    file.write_text('{"Network":"10.50.0.0/16","Bakcend":{"Type":"vxlan"}, "Backend":{"Type":"vxlan"}}')
    ended = ctl("network", "validate", str(file), "--etcd-endpoints", "http://127.0.0.1:1")
    assert ended.code == 0
    assert "did you mean Backend?" in ended.err


def test_validate_exits_1_when_etcd_holds_a_broken_config(network: Network) -> None:
    network.configure('{"Network":"10.50.0.0/33"}')
    ended = network("network", "validate")
    assert ended.code == 1
    assert "10.50.0.0/33" in ended.err


@pytest.mark.parametrize("words", [["show"], ["validate"], ["init", "10.50.0.0/16"]], ids=" ".join)
def test_command_exits_3_when_etcd_is_out_of_reach(words: list[str], ctl: Ctl) -> None:
    ended = ctl("network", *words, "--etcd-endpoints", "http://127.0.0.1:1")
    assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)


def test_set_encrypt_keeps_the_backend_that_no_encrypt_goes_back_to(network: Network) -> None:
    network.configure(VXLAN)
    before = {"Type": "vxlan", "VNI": 7}
    ended = network("network", "set", "--encrypt")
    assert (ended.code, "Backend       wireguard" in ended.out) == (0, True)
    written = {"Network": "10.50.0.0/16", "Backend": {"Type": "wireguard"}, "InClear": before}
    assert json.loads(network.text("config") or "") == written
    assert json.loads(network("network", "show", "-o", "json").out)["InClear"] == before
    assert (network("network", "set", "--encrypt").code, network.text("config")) == (0, json.dumps(written))
    assert network("network", "set", "--no-encrypt").code == 0
    assert json.loads(network.text("config") or "") == json.loads(VXLAN)
    assert (network("network", "set", "--no-encrypt").code, network.text("config")) == (0, VXLAN_TEXT)


def test_no_encrypt_goes_to_another_backend_on_request_and_loses_no_option_of_wireguard(
    network: Network,
) -> None:
    network.configure('{"network":"10.50.0.0/16","backend":{"type":"wireguard"}}')
    assert network("network", "set", "--no-encrypt", "--backend", "host-gw").code == 0
    assert json.loads(network.text("config") or "")["Backend"] == {"Type": "host-gw"}
    custom = '{"Network":"10.50.0.0/16","Backend":{"Type":"wireguard","ListenPort":51000}}'
    network.configure(custom)
    refused = network("network", "set", "--no-encrypt")
    assert (refused.code, refused.err.count("\n"), "ListenPort" in refused.err) == (7, 1, True)
    assert network.text("config") == custom


def test_init_encrypts_from_the_start(network: Network) -> None:
    words = ("--encrypt", "--option", "VNI=7")
    assert network("network", "init", "10.50.0.0/16", *words).code == 0
    written = json.loads(network.text("config") or "")
    assert (written["Backend"], written["InClear"]) == ({"Type": "wireguard"}, {"Type": "vxlan", "VNI": 7})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--encrypt", "--no-encrypt"], 2),
        (["--encrypt", "network.json"], 2),
        (["--encrypt", "--backend", "udp"], 2),
        (["--no-encrypt", "--backend", "wireguard"], 2),
        (["--encrypt"], 7),
    ],
)
def test_set_with_what_it_cannot_encrypt_is_one_line_and_writes_nothing(
    words: list[str], code: int, network: Network
) -> None:
    alloc = '{"Network":"10.50.0.0/16","Backend":{"Type":"alloc"}}'
    network.configure(alloc)
    ended = network("network", "set", *words)
    assert ended.code == code, ended.err
    assert network.text("config") == alloc
