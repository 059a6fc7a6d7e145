"""P25 and failures 9 and 16: a host's lease goes in every way there is, and comes back on the same subnet."""

from __future__ import annotations

import time

import pytest

from integration.lab import Lab
from tests.lab.etcd_side import (
    CONFIG,
    SUBNETS,
    conditions,
    ctl,
    delete,
    keys,
    own_key,
    own_keys,
    owned,
    ring,
    undisturbed,
)
from tests.lab.overlay import assert_settled, eventually

pytestmark = pytest.mark.lab


def test_p25_own_key_comes_back_on_the_same_subnet_after_deletion(lab: Lab) -> None:
    host = lab.hosts[0]
    before = owned(lab, host)
    assert before is not None
    others = [pair for pair in ring(lab) if host.name not in (pair[1].host,)]

    with undisturbed(*others):
        for _ in range(5):
            was = owned(lab, host)
            lab.etcd.api.delete(before.key)
            began = time.monotonic()
            eventually(lambda: (now := owned(lab, host)) is not None and now != was, "key is back")
            print("back after", time.monotonic() - began)
            assert_settled(lab)

    after = owned(lab, host)
    assert after is not None
    assert (after.key, after.value) == (before.key, before.value)
    assert lab.etcd.api.time_to_live(after.lease) > 80_000
    assert host.daemon.starts == 1


def test_gap_x(lab: Lab) -> None:
    from integration.lab import Probe

    host = lab.hosts[0]
    pair = next(pair for pair in ring(lab) if pair[1].host == host.name)
    key = own_key(lab, host)
    with Probe(*pair, interval_ms=1) as probe:
        probe.wait_flowing()
        for _ in range(5):
            delete(lab, key)
            time.sleep(0.5)
        print("one by one", probe.stop())
    with Probe(*pair, interval_ms=1) as probe:
        probe.wait_flowing()
        lab.etcd.api.delete_prefix(SUBNETS)
        time.sleep(3)
        print("prefix", probe.stop(), own_keys(lab))
    config = lab.etcd.api.get(CONFIG).value
    with Probe(*pair, interval_ms=1) as probe:
        probe.wait_flowing()
        lab.etcd.wipe()
        time.sleep(8)
        print("wipe", probe.stop(), own_keys(lab))
    print(conditions(host))
    print(ctl(host, "status", check=False))
    print(keys(lab))
    for h in lab.hosts:
        print(h.daemon.log_tail(30))
