"""A network's backend is changed in etcd under running hosts and a stream: both ways go on, and nothing old is left."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from integration.lab import (
    ETCD_PREFIX,
    NETWORK,
    Host,
    Lab,
    Probe,
    ProbeReport,
    Stream,
    simulated_peers,
    unreached,
    write_peers,
)
from tests.lab.backend_side import condition, moving_from, rows
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually, never, standing, wrongs

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
    meant = (
        {"Deliberate": True} if name == "alloc" else {}
    )  # as `network set --force` says of what leads nowhere
    lab.configure({"Network": NETWORK, "Backend": BACKENDS.get(name) or {"Type": name}, **meant})


def _says(lab: Lab) -> set[str | None]:
    entries = lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")
    return {json.loads(entry.value).get("BackendType") for entry in entries}


def _assert_moved(lab: Lab, name: str) -> None:
    eventually(lambda: _says(lab) == {SAYS[name]}, lambda: _says(lab), deadline=30)
    assert_settled(lab, deadline=30)
    for host in lab.hosts:
        eventually(lambda host=host: host.subnet_file.mtu == MTU[name], f"subnet.env of {host.name}")  # type: ignore[misc]
        eventually(lambda host=host: moving_from(host) is None, f"{host.name} has arrived", deadline=30)  # type: ignore[misc]
    assert_settled(lab, deadline=30)


CIRCUIT = ("vxlan", "host-gw", "vxlan", "direct", "vxlan", "udp", "host-gw", "udp", "vxlan")
"""Every way between two of flannel's ways to carry packets, each beginning where the one before ended."""


@pytest.mark.parametrize(("old", "new"), list(pairwise(CIRCUIT)))
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
    _assert_hardly_any_lost(probed)
    assert unreached(lab.containers) == ()


def _assert_hardly_any_lost(probed: ProbeReport) -> None:
    """None is lost where nothing else is going on; a gap in the overlay would cost all that were sent meanwhile."""
    assert probed.lost * 10 <= probed.sent, probed


def test_p17_host_that_was_down_during_the_change_is_reached_both_ways_and_follows(lab: Lab) -> None:
    """Its kernel state stands, so its containers go on; the others keep what leads there, and say for whom."""
    _change(lab, "vxlan")
    _assert_moved(lab, "vxlan")
    one, two, three = lab.hosts
    with (
        Stream(one.containers[0], three.containers[0]) as stream,
        Probe(three.containers[0], two.containers[0]) as probe,
    ):
        stream.wait_flowing()
        probe.wait_flowing()
        three.daemon.kill()
        _change(lab, "host-gw")
        eventually(lambda: _says(lab) == {"vxlan", "host-gw"}, lambda: _says(lab), deadline=30)
        eventually(lambda: moving_from(one) == "vxlan", "one is on its way", deadline=30)
        direct = ("direct", f"{two.address} is on-link on eth0")
        eventually(lambda: _way(one, "h2") == direct, lambda: _way(one, "h2"), deadline=30)
        assert _way(one, "h3") == ("tunnel", "it still advertises vxlan")
        kept = "it is kept for the leases of h3, which still say so"
        eventually(
            lambda: kept in condition(one, "BackendReady")["message"], lambda: condition(one, "BackendReady")
        )
        said = condition(one, "BackendReady")
        assert (said["reason"], said["healthy"]) == ("Moving", True)
        assert one.daemon.is_ready()
        assert unreached(lab.containers) == ()
        three.daemon.up()
        _assert_moved(lab, "host-gw")
        stream.wait_flowing()
        probed, report = probe.stop(), stream.stop()
    assert report.whole
    _assert_hardly_any_lost(probed)
    assert unreached(lab.containers) == ()


def _way(host: Host, peer: str) -> tuple[str, str]:
    row = rows(host)[peer]
    return row["way"], row["way_reason"]


def test_host_that_does_not_follow_is_kept_in_the_old_way_until_its_lease_goes(lab: Lab) -> None:
    """A flannel host reads the config at its start only."""
    _change(lab, "vxlan")
    _assert_moved(lab, "vxlan")
    (peer,) = simulated_peers(1, network=NETWORK, first=230)
    lease = write_peers(lab.etcd.api, [peer])
    one = lab.hosts[0]
    tunnel = f"fdb flannel.1 {peer.vtep_mac} dst {peer.public_ip}"
    eventually(lambda: tunnel in standing(lab, one), lambda: wrongs(lab, one))
    _change(lab, "host-gw")
    eventually(lambda: len(_says(lab)) == 2, lambda: _says(lab), deadline=30)
    never(lambda: tunnel not in standing(lab, one), "the way to it is taken away", seconds=4)
    eventually(
        lambda: str(peer.subnet) in condition(one, "BackendReady")["message"].replace("-24", "/24"),
        lambda: condition(one, "BackendReady"),
        deadline=30,
    )
    lab.etcd.api.revoke(lease)
    _assert_moved(lab, "host-gw")


@pytest.mark.parametrize("remembers", [True, False])
def test_daemon_that_died_half_way_finishes_the_move_after_its_restart(lab: Lab, *, remembers: bool) -> None:
    """With the config it used on disk it makes the new before it breaks the old; without, it still cleans up."""
    _change(lab, "vxlan")
    _assert_moved(lab, "vxlan")
    one = lab.hosts[0]
    one.daemon.kill()
    if not remembers:
        for path in one.daemon.state_dir.iterdir():
            path.unlink()
    _change(lab, "host-gw")
    eventually(lambda: len(_says(lab)) == 2, lambda: _says(lab), deadline=30)
    one.daemon.up()
    _assert_moved(lab, "host-gw")
    assert not one.has_link("flannel.1")
    assert unreached(lab.containers) == ()


def test_backend_that_cannot_stand_here_is_not_advertised_and_the_old_one_goes_on(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(3)
    _change(lab, "host-gw")
    lab.start_daemons()
    lab.attach_containers()
    _assert_moved(lab, "host-gw")
    one = lab.hosts[0]
    one.ip("link add flannel.1 type bridge")
    with Stream(one.containers[0], lab.hosts[1].containers[0]) as stream:
        stream.wait_flowing()
        _change(lab, "vxlan")
        eventually(
            lambda: condition(one, "BackendReady")["reason"] == "LinkTaken", "it is named", deadline=30
        )
        eventually(lambda: _says(lab) == {"vxlan", "host-gw"}, lambda: _says(lab), deadline=30)
        assert one.subnet_file.mtu == 1500
        assert unreached(lab.containers) == ()
        stream.wait_flowing()
        one.ip("link del flannel.1")
        _assert_moved(lab, "vxlan")
        stream.wait_flowing()
        assert stream.stop().whole


def test_change_to_a_backend_that_is_not_there_is_refused_by_name_and_changes_nothing(lab: Lab) -> None:
    _change(lab, "vxlan")
    _assert_moved(lab, "vxlan")
    before = [standing(lab, host) for host in lab.hosts]
    for name, words in (("tencent-vpc", "must be one of"), ("host_gw", "host-gw")):
        _change(lab, name)
        for host in lab.hosts:
            eventually(
                lambda host=host, words=words: words in condition(host, "NetworkConfigValid")["message"],  # type: ignore[misc]
                lambda host=host: condition(host, "NetworkConfigValid"),  # type: ignore[misc]
                deadline=30,
            )
            assert host.daemon.is_ready()
    lab.configure({"Network": "10.60.0.0/16", "Backend": {"Type": "host-gw"}})
    for host in lab.hosts:
        eventually(
            lambda host=host: "10.60.0.0/16" in condition(host, "RestartNeeded")["message"],  # type: ignore[misc]
            lambda host=host: condition(host, "RestartNeeded"),  # type: ignore[misc]
            deadline=30,
        )
    _change(lab, "vxlan")
    _assert_moved(lab, "vxlan")
    assert [standing(lab, host) for host in lab.hosts] == before


def test_change_to_alloc_removes_everything_and_back_puts_everything(lab: Lab) -> None:
    for name in ("vxlan", "alloc", "host-gw", "alloc", "vxlan"):
        _change(lab, name)
        _assert_moved(lab, name)
    assert unreached(lab.containers) == ()


def test_p22_both_families_move_together(build_lab: BuildLab) -> None:
    lab = build_lab(2, ipv6=True)
    dual = {"Network": NETWORK, "EnableIPv6": True, "IPv6Network": "fd50::/48"}
    lab.configure({**dual, "Backend": {"Type": "vxlan"}})
    lab.start_daemons()
    assert_settled(lab, deadline=30)
    for backend in ({"Type": "host-gw"}, {"Type": "vxlan", "DirectRouting": True}, {"Type": "vxlan"}):
        lab.configure({**dual, "Backend": backend})
        for host in lab.hosts:
            eventually(lambda host=host: moving_from(host) is None, "it has arrived", deadline=30)  # type: ignore[misc]
        assert_settled(lab, deadline=30)
