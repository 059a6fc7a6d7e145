"""`flanpyctl subnets`: the same listing from the daemon and from a real etcd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.conftest import GOLDEN, Ctl, Network
from tests.cli.stand_in import SUBNETS, StandIn

VXLAN = (
    '{"PublicIP":"192.0.2.%d","PublicIPv6":null,"BackendType":"vxlan",'
    '"BackendData":{"VNI":1,"VtepMAC":"02:00:5e:10:00:%02x"}%s}'
)

TABLE = (GOLDEN / "subnets.txt").read_text()


@pytest.fixture
def three(network: Network) -> Network:
    """Our lease, a reservation of flannel's, a dual-stack lease, and a key that cannot be read."""
    network.put("10.50.10.0-24", VXLAN % (10, 10, ',"NodeID":"node-1"'), ttl=5000)
    network.put("10.50.9.0-24", VXLAN % (9, 9, ""))
    network.put(
        "10.50.100.0-24&fd50:1:0:64::-64",
        '{"PublicIP":"192.0.2.100","PublicIPv6":"2001:db8::64","BackendType":"host-gw","NodeID":"node-100"}',
        ttl=90000,
    )
    network.put("junk", "{")
    return network


def test_listing_of_the_daemon_says_which_subnet_is_own(ctl: Ctl, daemon: StandIn) -> None:
    ended = ctl("subnets")
    assert (ended.code, ended.out) == (0, TABLE)
    assert ended.err == "left out: key 'junk': key 'junk' is no subnet\n"
    assert daemon.asked == ["GET subnets"]


def test_listing_of_a_stale_view_says_so(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["subnets"] = {**SUBNETS, "stale": True, "invalid": []}
    ended = ctl("subnets")
    assert (ended.code, ended.out) == (0, TABLE)
    assert ended.err == "etcd is out of reach: this is as of revision 77\n"


def test_listing_shows_expiries_when_the_daemon_gives_them(ctl: Ctl, daemon: StandIn) -> None:
    rows = [{**row, "expires_in": 0 if row["reservation"] else 3600} for row in SUBNETS["subnets"]]
    daemon.answers["subnets"] = {**SUBNETS, "subnets": rows}
    lines = ctl("subnets").out.splitlines()
    assert " EXPIRY " in lines[0]
    assert " 1 h " in lines[1]
    assert " never " in lines[2]


def test_listing_of_etcd_is_in_the_order_of_subnets_with_expiries(three: Network) -> None:
    ended = three("subnets")
    assert ended.code == 0
    head, *lines = ended.out.splitlines()
    assert head.split() == [
        "HOST",
        "SUBNET",
        "PUBLIC",
        "IP",
        "BACKEND",
        "VTEP",
        "MAC",
        "EXPIRY",
        "RESERVED",
        "OWN",
    ]
    assert lines[0].split() == [
        "-",
        "10.50.9.0/24",
        "192.0.2.9",
        "vxlan",
        "02:00:5e:10:00:09",
        "never",
        "yes",
        "-",
    ]
    assert lines[1].split()[:6] == [
        "node-1",
        "10.50.10.0/24",
        "192.0.2.10",
        "vxlan",
        "02:00:5e:10:00:0a",
        "1",
    ]
    assert "1 h 2" in lines[1]
    assert lines[1].endswith("yes")
    assert lines[2].split()[:3] == [
        "node-100",
        "10.50.100.0/24,fd50:1:0:64::/64",
        "192.0.2.100,2001:db8::64",
    ]
    assert " 1 d " in lines[2] or " 24 h " in lines[2]
    assert ended.err == "left out: key 'junk': key 'junk' is no subnet like 10.50.25.0-24\n"


def test_listing_of_an_empty_network_is_a_table_of_titles(network: Network) -> None:
    ended = network("subnets")
    assert (ended.code, ended.out.count("\n"), ended.err) == (0, 1, "")


def test_wide_listing_of_the_daemon_has_everything_on_one_line(
    ctl: Ctl, daemon: StandIn, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANPYD_ETCD_ENDPOINTS", network.url)
    own = SUBNETS["subnets"][0]
    ends = [{**own, "expires_in": 86000}, {**SUBNETS["subnets"][1], "expires_in": None}]
    daemon.answers["subnets"] = {**SUBNETS, "subnets": ends}
    assert ctl("subnets", "-o", "wide").out == (GOLDEN / "subnets-wide.txt").read_text()


def test_wide_listing_has_lease_ids_and_vnis(three: Network) -> None:
    lines = three("subnets", "-o", "wide").out.splitlines()
    lease = three.put("10.50.11.0-24", VXLAN % (11, 11, ""), ttl=5000)
    assert lines[0].split()[-5:] == ["VNI", "LEASE", "STATE", "WAY", "REASON"]
    assert f" {lease:x} " in three("subnets", "-o", "wide").out


def test_json_listing_has_every_key_and_typed_values(three: Network) -> None:
    said = json.loads(three("subnets", "-o", "json").out)
    assert set(said) == {"revision", "stale", "subnets", "invalid"}
    assert said["invalid"] == [{"key": "junk", "reason": "key 'junk' is no subnet like 10.50.25.0-24"}]
    own = next(row for row in said["subnets"] if row["own"])
    assert own.pop("lease_id") > 0
    assert 4900 < own.pop("expires_in") <= 5000
    assert own == {
        "key": "10.50.10.0-24",
        "subnet": "10.50.10.0/24",
        "subnet6": "",
        "node_id": "node-1",
        "host": "node-1",
        "public_ip": "192.0.2.10",
        "public_ip6": "",
        "backend_type": "vxlan",
        "vtep_mac": "02:00:5e:10:00:0a",
        "vtep_mac6": "",
        "vni": 1,
        "reservation": False,
        "own": True,
        "state": "",
        "reason": "",
        "way": "",
        "way_reason": "",
    }


def test_json_listing_has_the_same_keys_from_the_daemon(ctl: Ctl, daemon: StandIn, three: Network) -> None:
    from_daemon = json.loads(ctl("subnets", "-o", "json").out)
    from_etcd = json.loads(three("subnets", "-o", "json").out)
    assert from_daemon["subnets"][0].keys() == from_etcd["subnets"][0].keys()
    assert from_daemon.keys() == from_etcd.keys()


def test_name_listing_is_one_subnet_a_line(three: Network) -> None:
    assert three("subnets", "-o", "name").out == "10.50.9.0/24\n10.50.10.0/24\n10.50.100.0/24\n"


def test_yaml_listing_holds_what_json_does(three: Network) -> None:
    text = three("subnets", "-o", "yaml").out
    assert 'subnets:\n  - key: "10.50.9.0-24"\n    subnet: "10.50.9.0/24"\n' in text


def test_etcd_is_asked_when_a_flag_names_it_even_if_a_daemon_runs(
    ctl: Ctl, daemon: StandIn, three: Network
) -> None:
    assert three("subnets", "-o", "name").out.startswith("10.50.9.0/24")
    assert daemon.asked == []


def test_etcd_is_asked_when_told_with_settings_of_the_environment(
    ctl: Ctl, daemon: StandIn, three: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANPYD_ETCD_ENDPOINTS", three.url)
    monkeypatch.setenv("FLANPYD_ETCD_PREFIX", three.prefix)
    assert ctl("subnets", "-o", "name").out.startswith("10.50.1.0/24"), "the daemon's"
    for flag in ("--etcd", "--no-daemon"):
        assert ctl("subnets", "-o", "name", flag).out.startswith("10.50.9.0/24")


def test_expiries_come_from_etcd_for_the_daemons_listing_when_asked(
    ctl: Ctl, daemon: StandIn, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = network.put("10.50.1.0-24", VXLAN % (11, 1, ""), ttl=7300)
    monkeypatch.setenv("FLANPYD_ETCD_ENDPOINTS", network.url)
    daemon.answers["subnets"] = {**SUBNETS, "subnets": [{**SUBNETS["subnets"][0], "lease_id": lease}]}
    assert "EXPIRY" not in ctl("subnets").out
    assert " 2 h 1 min " in ctl("subnets", "--expiry").out
    assert " programmed" not in ctl("subnets", "-o", "wide").out


def test_expiry_of_a_lease_that_is_gone_is_told(
    ctl: Ctl, daemon: StandIn, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANPYD_ETCD_ENDPOINTS", network.url)
    lines = ctl("subnets", "--expiry").out.splitlines()
    assert " gone " in lines[1]
    assert " never " in lines[2]


def test_listing_exits_3_when_etcd_is_out_of_reach(ctl: Ctl) -> None:
    ended = ctl("subnets", "--etcd-endpoints", "http://127.0.0.1:1")
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert "127.0.0.1:1" in ended.err


@pytest.mark.parametrize("word", ["10.50.10.0/24", "10.50.10.0-24", "node-1", "192.0.2.10", "own"])
def test_show_finds_a_subnet_by_any_of_its_names(word: str, three: Network) -> None:
    ended = three("subnets", "show", word)
    assert ended.code == 0
    assert "subnet       10.50.10.0/24\n" in ended.out
    assert "own          yes\n" in ended.out
    assert "expiry       1 h 2" in ended.out


def test_show_as_json_is_one_row(three: Network) -> None:
    row = json.loads(three("subnets", "show", "10.50.9.0/24", "-o", "json").out)
    assert (row["subnet"], row["reservation"], row["own"]) == ("10.50.9.0/24", True, False)


@pytest.mark.parametrize("word", ["10.50.77.0/24", "junk", "own-not"])
def test_show_exits_4_when_there_is_no_such_subnet(word: str, three: Network) -> None:
    ended = three("subnets", "show", word)
    assert ended.code == 4
    assert repr(word) in ended.err


def test_show_exits_6_when_a_public_ip_names_two_subnets(network: Network) -> None:
    network.put("10.50.1.0-24", VXLAN % (7, 1, ""))
    network.put("10.50.2.0-24", VXLAN % (7, 2, ""))
    ended = network("subnets", "show", "192.0.2.7")
    assert ended.code == 6
    assert "10.50.1.0/24, 10.50.2.0/24" in ended.err


@pytest.fixture
def watching(network: Network) -> Iterator[subprocess.Popen[str]]:
    """`flanpyctl subnets --watch -o json` on the network, as a process."""
    argv = [
        "subnets",
        "--watch",
        "-o",
        "json",
        "--etcd-endpoints",
        network.url,
        "--etcd-prefix",
        network.prefix,
    ]
    child = subprocess.Popen(
        [sys.executable, "-c", "from flanpy.cli.main import main; main()", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    yield child
    child.kill()
    child.communicate()


def test_watch_prints_a_line_of_json_on_each_change_until_interrupted(
    network: Network, watching: subprocess.Popen[str]
) -> None:
    assert watching.stdout is not None
    assert _subnets(watching.stdout.readline()) == []
    network.put("10.50.1.0-24", VXLAN % (1, 1, ""))
    assert _subnets(watching.stdout.readline()) == ["10.50.1.0/24"]
    network.session(lambda session: session.delete(f"{network.prefix}/subnets/10.50.1.0-24"))
    assert _subnets(watching.stdout.readline()) == []
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=20) == 130
    assert watching.stderr is not None
    assert watching.stderr.read() == ""


def _subnets(line: str) -> list[str]:
    return [row["subnet"] for row in json.loads(line)["subnets"]]


def test_watch_of_the_daemon_prints_changes_and_outlives_an_outage(
    ctl: Ctl, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {**SUBNETS, "revision": 78}
    fewer = {**newer, "subnets": SUBNETS["subnets"][:1]}
    answers = iter([lambda: SUBNETS, lambda: newer, _refuse, _refuse, lambda: fewer, _interrupt])

    def answer() -> dict[str, Any]:
        return next(answers, lambda: fewer)()

    daemon.answers["subnets"] = answer
    monkeypatch.setattr("flanpy.cli.subnets.watching.POLL_S", 0.01)
    ended = ctl("subnets", "--watch", "-o", "json")
    assert ended.code == 130
    assert [_subnets(line) for line in ended.out.splitlines()] == [
        ["10.50.1.0/24", "10.50.2.0/24"],
        ["10.50.1.0/24"],
    ]
    assert ended.err.count("still watching") == 1


def _refuse() -> dict[str, Any]:
    raise web.HTTPServiceUnavailable


def _interrupt() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGINT)
    return SUBNETS


@pytest.mark.etcd
def test_export_prints_a_list_and_names_what_it_leaves_out(network: Network) -> None:
    network.configure('{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan"}}')
    value = (
        '{"PublicIP":"192.0.2.%d","PublicIPv6":null,"BackendType":"vxlan",'
        '"BackendData":{"VNI":1,"VtepMAC":"02:00:5e:10:00:01"},"NodeID":"node-%d"}'
    )
    network.put("10.50.7.0-24", value % (7, 7), ttl=60)
    network.put("10.50.8.0-24", '{"PublicIP":"192.0.2.7","PublicIPv6":null}')
    network.put("10.50.9.0-24", "{")
    ended = network("subnets", "export")
    assert ended.code == 0
    listed = json.loads(ended.out)
    assert listed["hosts"] == [
        {"name": "node-7", "subnet": "10.50.7.0/24", "address": "192.0.2.7", "mac": "02:00:5e:10:00:01"}
    ]
    assert "left out 10.50.9.0-24: value '{' cannot be read" in ended.err


@pytest.mark.etcd
def test_export_needs_a_network_config(network: Network) -> None:
    ended = network("subnets", "export")
    assert ended.code == 4
    assert "there is no network config at" in ended.err
