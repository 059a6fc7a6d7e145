"""`flanpyctl peers` and `ping`, on a socket with canned answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import GOLDEN, Ctl
from tests.cli.looks import BLOCKED, MESH, NARROW, NOW, PEERS, pair, peer
from tests.cli.process import going_on
from tests.cli.stand_in import StandIn


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)


@pytest.mark.parametrize("form", ["table", "wide"])
def test_peers_are_a_row_each(form: str, ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["peers"] = PEERS
    ended = ctl("peers", "-o", form)
    assert ended.code == 0
    assert ended.out == (GOLDEN / f"peers-{form}.txt").read_text()


def test_peers_as_json_are_the_daemons_answer(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["peers"] = PEERS
    assert json.loads(ctl("peers", "-o", "json").out) == PEERS


def test_peers_names_are_those_that_ping_takes(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["peers"] = PEERS
    names = ctl("peers", "-o", "name").out.split()
    assert names == ["node-2", "node-3", "192.0.2.14"]
    daemon.answers["probe"] = PEERS
    for name in names:
        assert ctl("ping", name).code in {0, 5}


def test_peers_never_probed_say_so_without_figures(ctl: Ctl, daemon: StandIn) -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        ("rtt_ms", "loss", "underlay_rtt_ms", "underlay_loss", "changed_at")
    )
    daemon.answers["peers"] = {"peers": [peer(reach="unknown", path_mtu=0, path_mtu_wanted=0, **unknown)]}
    assert ctl("peers").out.splitlines()[1].split() == [
        "node-2", "10.50.2.0/24", "programmed", "unknown", "-", "-", "-", "-", "-",
    ]  # fmt: skip


def test_peers_wide_has_the_sessions_of_an_encrypted_overlay(ctl: Ctl, daemon: StandIn) -> None:
    session = {
        "link": "flannel-wg",
        "key": "hPGDGJ+3",
        "state": "up",
        "endpoint": "198.51.100.7:4000",
        "endpoint_wanted": "192.0.2.12:51820",
        "handshake_at": NOW - 20,
        "received": 5_300,
        "sent": 512,
    }
    silent = {**session, "endpoint": "192.0.2.12:51820", "handshake_at": None, "received": 0}
    daemon.answers["peers"] = {
        "peers": [peer(wireguard=[session]), peer(wireguard=[silent]), peer(wireguard=[])]
    }
    table = ctl("peers", "-o", "wide").out
    for words in ("KEY", "ENDPOINT", "HANDSHAKE", "hPGDGJ+3", "20 s ago", "none", "5.3 kB", "512 B"):
        assert words in table
    assert "198.51.100.7:4000 (lease: 192.0.2.12:51820)" in table
    daemon.answers["peers"] = PEERS
    assert "HANDSHAKE" not in ctl("peers", "-o", "wide").out


def test_peers_watch_prints_again_only_on_a_change(ctl: Ctl, daemon: StandIn) -> None:
    rounds = iter([PEERS, PEERS, {"peers": [peer()]}])
    daemon.answers["peers"] = lambda: next(rounds, {"peers": [peer()]})
    with going_on(ctl, "peers", "--watch", "-o", "json") as lines:
        lines.wait(lambda _: len(daemon.asked) >= 5)
    assert [len(json.loads(line)["peers"]) for line in lines.seen] == [3, 1]


def test_peers_exits_3_without_a_daemon(ctl: Ctl) -> None:
    assert ctl("peers").code == 3


def test_ping_exits_0_when_every_peer_answers(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = {"peers": [peer()]}
    ended = ctl("ping")
    assert (ended.code, ended.err) == (0, "")
    assert daemon.asked == ["POST probe"]
    assert ended.out.splitlines()[1].split() == [
        "node-2", "10.50.2.0/24", "reachable", "0.41", "ms", "0", "%", "1450", "0.20", "ms", "-",
    ]  # fmt: skip


def test_ping_exits_5_and_names_the_pairs_with_cause_and_cure(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = PEERS
    ended = ctl("ping")
    assert ended.code == 5
    assert ended.err == (
        "flanpyctl: 2 pairs broken: node-1 -> node-3 (PortBlocked: 192.0.2.13 answers pings beneath, nothing over the "
        "overlay; open UDP 8472 between the hosts), node-1 -> 192.0.2.14 (MTUBlackHole: 1350 of 1450 bytes pass)\n"
    )


@pytest.mark.parametrize("word", ["node-3", "10.50.3.0/24", "10.50.3.77", "fd50:1:0:3::5", "192.0.2.13"])
def test_ping_takes_one_peer_by_any_of_its_names(word: str, ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = PEERS
    ended = ctl("ping", word, "-o", "json")
    assert ended.code == 5
    assert json.loads(ended.out)["peers"] == [BLOCKED]


def test_ping_exits_4_when_there_is_no_such_peer(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = PEERS
    ended = ctl("ping", "node-9")
    assert ended.code == 4
    assert "node-9" in ended.err


def test_ping_does_not_call_a_peer_broken_that_was_never_probed(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = {"peers": [peer(reach="unknown")]}
    assert ctl("ping").code == 0


def test_ping_names_a_reachable_peer_that_has_a_trouble(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["probe"] = {"peers": [{**NARROW, "reach": "reachable"}]}
    assert ctl("ping").code == 5


def test_ping_exits_1_with_the_daemons_words_when_probes_are_off(ctl: Ctl, daemon: StandIn) -> None:
    daemon.refusals["probe"] = (500, '{"error": "probes are off: set probe"}')
    ended = ctl("ping")
    assert ended.code == 1
    assert "probes are off" in ended.err


def test_ping_all_prints_the_matrix_and_names_the_broken_pairs(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["mesh"] = MESH
    ended = ctl("ping", "--all")
    assert ended.code == 5
    assert ended.out == (GOLDEN / "mesh.txt").read_text()
    assert ended.err == (
        "flanpyctl: 2 pairs broken: node-1 -> node-3 (PortBlocked), node-2 -> node-3 (lossy)\n"
    )


def test_ping_all_is_well_when_every_pair_is(ctl: Ctl, daemon: StandIn) -> None:
    names = ["a", "b"]
    daemon.answers["mesh"] = {"nodes": names, "rows": [pair("a", "b"), pair("b", "a")]}
    assert ctl("ping", "--all").code == 0


def test_ping_all_heads_columns_by_number_when_there_are_many(ctl: Ctl, daemon: StandIn) -> None:
    names = [f"node-{number}" for number in range(1, 21)]
    daemon.answers["mesh"] = {"nodes": names, "rows": [pair(a, b) for a in names for b in names if a != b]}
    lines = ctl("ping", "--all").out.splitlines()
    assert lines[0].split()[3:] == [str(number) for number in range(1, 21)]
    assert lines[20].split()[:3] == ["20", "node-20", "0.40"]


def test_ping_all_refuses_a_peer_beside_it(ctl: Ctl, daemon: StandIn) -> None:
    assert ctl("ping", "--all", "node-2").code == 2


@pytest.mark.parametrize("words", [("ping",), ("ping", "--all"), ("peers",), ("top",)], ids=" ".join)
def test_names_from_etcd_cannot_steer_the_terminal(words: tuple[str, ...], ctl: Ctl, daemon: StandIn) -> None:
    evil = "evil\x1b]0;gotcha\x07"
    row = {**BLOCKED, "node_id": evil, "evidence": evil}
    daemon.answers |= {
        "probe": {"peers": [row]},
        "peers": {"peers": [row]},
        "mesh": {"nodes": ["node-1", evil], "rows": [pair("node-1", evil, reach="unreachable")]},
    }
    ended = ctl(*words)
    assert "evil?]0;gotcha?" in ended.out
    assert "\x1b" not in ended.out + ended.err


def test_peers_and_ping_sort_names_as_people_do(ctl: Ctl, daemon: StandIn) -> None:
    many = [peer(node_id=name, host=name) for name in ("h10", "h2", "h1")]
    daemon.answers["peers"] = daemon.answers["probe"] = {"peers": many}
    for words in (("peers",), ("peers", "-o", "name"), ("ping",)):
        names = [line.split()[0] for line in ctl(*words).out.splitlines() if line.startswith("h")]
        assert names == ["h1", "h2", "h10"], words


def test_peers_with_v_tell_the_evidence_and_the_fix_below_all_columns(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["peers"] = PEERS
    brief, full = ctl("peers").out, ctl("peers", "-v").out
    assert "NODE ID" in full
    assert "NODE ID" not in brief
    told = [line for line in full.splitlines() if line.startswith(("✕", "x ", "  Fix:"))]
    assert "node-3: PortBlocked" in told[0]
    assert told[1] == "  Fix: open UDP 8472 between the hosts"
