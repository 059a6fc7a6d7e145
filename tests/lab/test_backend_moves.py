"""A network's backend is changed in etcd under running hosts and a stream: both ways go on, and nothing old is left."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Probe, Stream, flanpyctl, unreached
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

BACKENDS: dict[str, dict[str, Any]] = {
    "vxlan": {"Type": "vxlan"},
    "host-gw": {"Type": "host-gw"},
    "direct": {"Type": "vxlan", "DirectRouting": True},
    "udp": {"Type": "udp"},
}
SAYS = {"vxlan": "vxlan", "host-gw": "host-gw", "direct": "vxlan", "alloc": None, "udp": None}
MTU = {"vxlan": 1450, "host-gw": 1500, "direct": 1450, "alloc": 1500, "udp": 1472}


def _change(lab: Lab, name: str) -> None:
    lab.configure({"Network": NETWORK, "Backend": BACKENDS.get(name) or {"Type": name}})


def _says(lab: Lab) -> set[str | None]:
    entries = lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")
    return {json.loads(entry.value).get("BackendType") for entry in entries}


def _assert_moved(lab: Lab, name: str) -> None:
    eventually(lambda: _says(lab) == {SAYS[name]}, lambda: _says(lab), deadline=30)
    assert_settled(lab, deadline=30)
    for host in lab.hosts:
        eventually(lambda host=host: host.subnet_file.mtu == MTU[name], f"subnet.env of {host.name}")  # type: ignore[misc]
        eventually(lambda host=host: _moving_from(host) is None, f"{host.name} has arrived", deadline=30)  # type: ignore[misc]
    assert_settled(lab, deadline=30)


def _moving_from(host: Host) -> str | None:
    said: dict[str, Any] = json.loads(host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout)
    found: str | None = said["backend"]["moving_from"]
    return found


@pytest.mark.parametrize(("old", "new"), list(permutations(BACKENDS, 2)))
def test_backend_changes_under_a_stream_without_a_gap(
    lab: Lab, old: str, new: str, record_property: Any
) -> None:
    _change(lab, old)
    _assert_moved(lab, old)
    one, two, three = lab.containers
    with Stream(one, two) as stream, Probe(three, two) as probe:
        stream.wait_flowing()
        probe.wait_flowing()
        stream.mark()
        probe.mark()
        _change(lab, new)
        _assert_moved(lab, new)
        stream.wait_flowing()
        gaps = (stream.longest_gap_ms, probe.longest_gap_ms)
        report, probed = stream.stop(), probe.stop()
    record_property("gap_ms", gaps)
    print(
        f"{old} -> {new}: TCP gap {gaps[0]:.0f} ms, UDP gap {gaps[1]:.0f} ms, {probed.lost} lost of {probed.sent}"
    )
    assert report.whole
    assert gaps[0] < 5000
    assert unreached(lab.containers) == ()
