"""The change of a host's WireGuard key under traffic, half-done changes, and the clock that was set back."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from flanpy.cli.base.control import Control
from flanpy.errors import FlanpyError
from flanpy.host.wireguard_key import key_pair, replaced
from flanpy.model.wireguard import written
from integration.lab import ETCD_PREFIX, Host, Lab, Probe
from integration.net.namespaces import in_namespace
from integration.truth import wireguard
from tests.guest.cluster import encrypted_hosts
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

BOTH_WAYS, ONE_WAY = 50, 25
KILLED_AFTER_MS = (3, 10, 30)
DAY_S = 86_400


def _rotate(host: Host) -> None:
    """Ask the daemon itself: the start of a command takes longer than the change."""
    Control(host.daemon.run_dir).post("rotate", deadline=20)


def _in_kernel(host: Host) -> str:
    (part, *_) = wireguard.dump(host.namespace, "flannel-wg")
    return str(part["WGDEVICE_A_PUBLIC_KEY"].decode())


def _in_lease(lab: Lab, host: Host) -> str:
    values = [json.loads(entry.value) for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")]
    return next(
        str(value["BackendData"]["PublicKey"]) for value in values if value["PublicIP"] == host.address
    )


def _knows_one_key(lab: Lab, host: Host, *, but: str) -> bool:
    """Report whether disk, kernel, lease and peers have one key, and another than `but`."""
    peers = [
        key
        for other in lab.hosts
        if other is not host
        for key in wireguard.peers(wireguard.dump(other.namespace, "flannel-wg"))
    ]
    keys = {key_pair(host.daemon.state_dir).public, _in_kernel(host), _in_lease(lab, host), *peers}
    return len(keys) == 1 and keys != {but}


def test_keys_change_under_traffic_and_nothing_is_lost(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 2)
    one, two = lab.containers
    with Probe(one, two, interval_ms=10) as there, Probe(two, one, interval_ms=10) as back:
        there.wait_flowing()
        back.wait_flowing()
        for turn in range(BOTH_WAYS):
            host = lab.hosts[turn % 2]
            before = _in_kernel(host)
            _rotate(host)
            eventually(partial(_knows_one_key, lab, host, but=before), "one key", deadline=10)
        found = [there.stop(), back.stop()]
    print("both ways:", found)
    assert [report.lost for report in found] == [0, 0]
    with Probe(one, two, interval_ms=10) as probe:
        probe.wait_flowing()
        for turn in range(ONE_WAY):
            host = lab.hosts[turn % 2]
            before = _in_kernel(host)
            _rotate(host)
            eventually(partial(_knows_one_key, lab, host, but=before), "one key", deadline=10)
        report = probe.stop()
    print("one way:", report)
    assert report.lost == 0


def _set_key(host: Host, private: str) -> None:
    def work() -> None:
        from pyroute2 import WireGuard  # noqa: PLC0415, inside the namespace

        with WireGuard() as kernel:
            kernel.set("flannel-wg", private_key=private)

    in_namespace(host.namespace, work)


def _asked(host: Host) -> threading.Thread:
    def ask() -> None:
        with suppress(FlanpyError):  # it is killed while it answers
            _rotate(host)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_half_done_change_ends_with_one_key_everywhere(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 2)
    one, two = lab.containers
    host = lab.hosts[0]
    for in_device in (False, True):  # killed after the disk has it, and after the device has
        before = _in_kernel(host)
        host.daemon.kill()
        new = replaced(host.daemon.state_dir)
        if in_device:
            _set_key(host, written(new.private))
        host.daemon.up()
        eventually(partial(_knows_one_key, lab, host, but=before), "one key", deadline=20)
        assert _in_kernel(host) == new.public
        eventually(lambda: one.ping(two).ok, "they reach each other", deadline=20)
    for milliseconds in KILLED_AFTER_MS:
        asking = _asked(host)
        time.sleep(milliseconds / 1000)  # the moment is what is tried
        host.daemon.kill()
        asking.join()
        host.daemon.up()
        eventually(partial(_knows_one_key, lab, host, but=""), f"{milliseconds} ms", deadline=20)
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=20)


def test_clock_that_was_set_back_is_named_and_a_new_key_heals_it(build_lab: BuildLab) -> None:
    lab = encrypted_hosts(build_lab, 2)
    one, two = lab.containers
    host = lab.hosts[0]
    true = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    try:
        time.clock_settime(time.CLOCK_REALTIME, true - DAY_S + time.monotonic())
        eventually(
            lambda: condition(host, "Encrypted")["reason"] == "ClockSetBack", "it is named", deadline=20
        )
        assert "flanpyctl keys rotate" in condition(host, "Encrypted")["cure"]
        for each in lab.hosts:
            _rotate(each)
        began = time.monotonic()
        eventually(lambda: _shaken_since(host, true - DAY_S), "a handshake", deadline=20)
        print(f"{DAY_S} s back: a session after {time.monotonic() - began:.2f} s")
        assert one.ping(two).ok
        eventually(lambda: condition(host, "Encrypted")["reason"] == "Encrypted", "it is over", deadline=20)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, true + time.monotonic())


def _shaken_since(host: Host, offset: float) -> bool:
    """Report whether every session is of the clock as it is now."""
    peers = wireguard.peers(wireguard.dump(host.namespace, "flannel-wg")).values()
    last = [peer["WGPEER_A_LAST_HANDSHAKE_TIME"]["tv_sec"] for peer in peers]
    return all(0 < moment <= offset + time.monotonic() + 1 for moment in last)
