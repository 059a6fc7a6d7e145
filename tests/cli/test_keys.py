"""`flanpyctl keys` against a stand-in: what it shows, what it asks for, and that it shows no private key."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.cli.conftest import Ctl
from tests.cli.stand_in import StandIn

OWN: dict[str, Any] = {
    "key": "AbCdEfGh",
    "public_key": "AbCdEfGhAAAA",
    "made_at": 1_000.0,
    "file": "/var/lib/flanpy/wgkey",
}


def _session(**changes: Any) -> dict[str, Any]:
    return {"link": "flannel-wg", "key": "ZyXwVuTs", "handshake_at": None, **changes}


def test_keys_are_listed_with_their_ages(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["keys"] = OWN | {"made_at": time.time() - 7200}
    recent = _session(handshake_at=time.time() - 60)
    daemon.answers["peers"] = {
        "peers": [
            {"host": "web-10", "wireguard": [_session()]},
            {"host": "web-2", "wireguard": [recent]},
            {"host": "clear", "wireguard": []},
        ]
    }
    said = ctl("keys").out
    assert said.splitlines()[0] == "this host   AbCdEfGh, 2 h old, /var/lib/flanpy/wgkey"
    rows = [line.split() for line in said.splitlines()[3:]]
    assert [row[0] for row in rows] == ["web-2", "web-10"]
    assert rows[0][1:] == ["ZyXwVuTs", "flannel-wg", "1", "min", "ago"]
    assert rows[1][-1] == "none"
    assert json.loads(ctl("keys", "-o", "json").out)["peers"][0]["host"] == "web-2"
    assert ctl("keys", "ls").out == said


def test_host_without_a_key_says_so(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["keys"] = OWN | {"key": None, "made_at": None}
    daemon.answers["peers"] = {"peers": []}
    assert ctl("keys").out.startswith("no WireGuard key is in use here")


def test_rotation_is_asked_of_the_daemon(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["rotate"] = {"key": "NewNewNe", "former": "OldOldOl"}
    ended = ctl("keys", "rotate")
    assert (ended.code, ended.out) == (0, "this host's key is NewNewNe now; it was OldOldOl\n")
    assert daemon.asked[-1] == "POST rotate"


def test_commands_need_the_daemon(ctl: Ctl) -> None:
    assert (ctl("keys").code, ctl("keys", "rotate").code) == (3, 3)
