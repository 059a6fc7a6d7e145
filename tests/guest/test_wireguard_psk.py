"""The network's pre-shared key, changed by `network set` while hosts take it at other times, and one that differs."""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from pathlib import Path

import pytest

from integration.lab import NETWORK, Host, Probe, flanpyctl
from integration.truth import wireguard
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

FIRST, SECOND = (b64encode(bytes(range(start, start + 32))).decode() for start in (1, 101))
APART_S = float(os.environ.get("FLANPY_PSK_APART_S", "3"))
"""Seconds from one host's taking the new key to the other's: 60 s are free, as the next handshake is due after 120."""


def _config(psk: str) -> dict[str, object]:
    return {"Network": NETWORK, "Backend": {"Type": "wireguard", "PSK": psk}}


def _set(host: Host, psk: str, directory: Path) -> None:
    file = directory / "network.json"
    file.write_text(json.dumps(_config(psk)))
    host.run(*flanpyctl(), "network", "set", str(file))


def _seen(host: Host) -> set[str]:
    """Return the shared keys of all peers, as another reader of the kernel has them."""
    peers = wireguard.peers(wireguard.dump(host.namespace, "flannel-wg")).values()
    return {str(peer.get("WGPEER_A_PRESHARED_KEY")) for peer in peers}


def test_shared_key_changes_under_traffic_with_hosts_apart_and_one_that_lags_is_named(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    lab = build_lab(2)
    lab.configure(_config(FIRST))
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab, deadline=30)
    (one, two), (here, there) = lab.hosts, lab.containers
    before = _seen(one)
    with Probe(here, there, interval_ms=10) as out, Probe(there, here, interval_ms=10) as back:
        out.wait_flowing()
        back.wait_flowing()
        two.daemon.freeze()
        _set(one, SECOND, tmp_path)
        eventually(lambda: _seen(one) != before, "one host has it", deadline=20)
        apart = time.monotonic() + APART_S
        eventually(lambda: time.monotonic() > apart, "they are apart", deadline=APART_S + 30)
        two.daemon.thaw()
        eventually(lambda: _seen(one) == _seen(two), "both have it", deadline=20)
        one.run(*flanpyctl(), "keys", "rotate")  # a handshake by the new key at once
        found = [out.stop(), back.stop()]
    print("shared key changed:", found)
    assert [report.lost for report in found] == [0, 0]

    two.daemon.freeze()
    _set(one, FIRST, tmp_path)
    eventually(lambda: _seen(one) != _seen(two), "one host has it", deadline=20)
    one.ip("link del flannel-wg")  # the session that lives would last for three minutes
    eventually(
        lambda: condition(one, "Encrypted")["reason"] == "HandshakeOverdue", "it is named", deadline=200
    )
    found_there = condition(one, "Encrypted")
    assert two.name in found_there["message"]
    assert "PSK" in found_there["cure"]
    two.daemon.thaw()
    eventually(lambda: here.ping(there).ok, "they reach each other", deadline=60)
