"""A host that is shut out: how soon every peer removes it, that it stays out, and how it comes back."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from flanpy.host.wireguard_key import key_pair
from integration.lab import ETCD_PREFIX, Host, Probe, flanpyctl
from integration.truth import wireguard
from tests.guest.cluster import encrypted_hosts
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

DAY_S = 86_400


def _knows(host: Host, key: str) -> bool:
    return key in wireguard.peers(wireguard.dump(host.namespace, "flannel-wg"))


def _refuses(host: Host) -> bool:
    return bool(condition(host, "PeerLeasesValid")["reason"] == "Revoked")


def test_revoked_host_is_removed_by_every_peer_stays_out_and_comes_back_when_allowed(
    build_lab: BuildLab,
) -> None:
    lab = encrypted_hosts(build_lab, 3)
    (one, two, three), (near, _, far) = lab.hosts, lab.containers
    key = key_pair(three.daemon.state_dir).public
    (entry,) = (e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if f'"{three.name}"' in e.value)

    said = one.run(*flanpyctl(), "keys", "revoke", three.name).stdout
    began = time.monotonic()
    assert said.startswith(f"{three.name} is revoked")
    eventually(lambda: not _knows(one, key) and not _knows(two, key), "both removed it", deadline=10)
    print(f"removed by both peers {time.monotonic() - began:.3f} s after the command")
    assert not near.ping(far).ok
    eventually(lambda: condition(three, "LeaseValid")["reason"] == "Revoked", "it is told", deadline=20)

    three.daemon.kill()  # what somebody does who has its key and may write to etcd
    value = json.loads(entry.value) | {"NodeID": "somebody-else"}
    lab.etcd.api.put(entry.key, json.dumps(value), lease=lab.etcd.api.grant(DAY_S))
    for peer in (one, two):
        eventually(partial(_refuses, peer), "it is named", deadline=20)
        assert "somebody-else" in condition(peer, "PeerLeasesValid")["message"]
        assert not _knows(peer, key)
    assert f"revoked     {three.name}" in one.run(*flanpyctl(), "keys").stdout
    lab.etcd.api.delete(entry.key)

    one.run(*flanpyctl(), "keys", "allow", three.name)
    three.daemon.up()
    assert_settled(lab, deadline=60)
    eventually(lambda: near.ping(far).ok, "it is back", deadline=30)


def test_all_keys_change_one_after_another_and_a_host_that_was_away_follows(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 3)
    (one, two, three), (near, middle, far) = lab.hosts, lab.containers
    eventually(lambda: near.ping(far).ok and near.ping(middle).ok, "they reach each other", deadline=30)
    before = {host.name: key_pair(host.daemon.state_dir).public for host in lab.hosts}
    three.daemon.kill()
    with Probe(near, middle, interval_ms=10) as there, Probe(middle, near, interval_ms=10) as back:
        there.wait_flowing()
        back.wait_flowing()
        done = one.run(*flanpyctl(), "keys", "rotate", "--all", "--timeout", "6", check=False)
        assert f"not yet: {three.name};" in done.stderr
        assert f"{two.name} has a new key" in done.stdout
        three.daemon.up()
        eventually(
            lambda: key_pair(three.daemon.state_dir).public != before[three.name], "it follows", deadline=30
        )
        assert_settled(lab, deadline=30)
        found = [there.stop(), back.stop()]
    print("all keys changed:", found)
    assert [report.lost for report in found] == [0, 0]
    assert all(key_pair(host.daemon.state_dir).public != before[host.name] for host in lab.hosts)
    eventually(lambda: near.ping(far).ok and middle.ping(far).ok, "they reach each other", deadline=30)
