"""The VXLAN device is deleted, altered or taken by others on a running host: it heals, or the thief is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from integration.lab import Host, Lab, Probe, Stream, unreached
from tests.lab.overlay import (
    add_decoys,
    assert_settled,
    condition,
    events,
    eventually,
    foreign_state,
    link_sysctl,
    never,
    remove_decoys,
    repairs,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _link(host: Host) -> dict[str, object]:
    found: dict[str, object] = host.ip_json("-d", "link", "show", "dev", "flannel.1")[0]
    return found


def test_p11_flannel_failure_05_deleted_device_is_recreated_whole_with_its_mac(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before, index = standing(lab, two), _link(two)["ifindex"]
    counted = repairs(two, "link")

    with Probe(one.containers[0], two.containers[0]) as probe:
        probe.wait_flowing()
        two.ip("link del flannel.1")
        eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two))
        probe.wait_flowing(deadline=5)

    assert _link(two)["ifindex"] != index
    eventually(lambda: repairs(two, "link") == counted + 1, lambda: repairs(two, "link"))
    assert unreached(lab.containers) == ()


def test_p11_tcp_stream_survives_the_device_deleted_ten_times(lab: Lab) -> None:
    one, two, _ = lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        for _ in range(10):
            index = _link(two)["ifindex"]
            two.ip("link del flannel.1")
            eventually(
                lambda index=index: two.has_link("flannel.1") and _link(two)["ifindex"] != index,  # type: ignore[misc]
                lambda: wrongs(lab, two),
            )
        assert_settled(lab, [two])
        stream.wait_flowing(deadline=10)
        report = stream.stop()

    assert report.whole


def test_p12_mac_is_set_by_hand_so_that_udev_leaves_it(lab: Lab) -> None:
    for host in lab.hosts:
        assert _address_type(host) == 3
        host.ip("link del flannel.1")
    assert_settled(lab)
    assert [_address_type(host) for host in lab.hosts] == [3, 3, 3]


def _address_type(host: Host) -> int:
    """`addr_assign_type`, of a /sys that shows the host's namespace."""
    shown = host.run(
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t sysfs sysfs /sys && cat /sys/class/net/flannel.1/addr_assign_type",
    )
    return int(shown.stdout)


def test_p12_mac_changed_by_hand_is_restored_and_counted(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before, counted = standing(lab, two), repairs(two, "link")

    two.ip("link set flannel.1 address 02:00:00:00:be:ef")
    eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two))

    eventually(lambda: repairs(two, "link") == counted + 1, lambda: repairs(two, "link"))
    assert one.containers[0].ping(two.containers[0]).ok
    assert two.containers[0].ping(lab.hosts[2].containers[0]).ok


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("up", "link set flannel.1 down"),
        ("link", "link set flannel.1 mtu 1300"),
        ("link", "link set flannel.1 type vxlan id 1 local 127.0.0.1"),
        ("link", "link set flannel.1 type vxlan id 1 learning"),
        ("address", "addr flush dev flannel.1"),
        ("address", "addr add 10.50.255.77/32 dev flannel.1"),
    ],
)
def test_p11_altered_device_is_put_right_in_place(lab: Lab, kind: str, line: str) -> None:
    host = lab.hosts[1]
    before, index, counted = standing(lab, host), _link(host)["ifindex"], repairs(host, kind)

    host.ip(line)
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))

    assert _link(host)["ifindex"] == index
    eventually(lambda: repairs(host, kind) > counted, f"{kind} is counted in flanpy_repairs_total")
    assert unreached(lab.containers) == ()


def test_p11_device_without_its_alias_is_taken_back(lab: Lab) -> None:
    host = lab.hosts[1]
    before, index = standing(lab, host), _link(host)["ifindex"]

    host.run("ip", "link", "set", "flannel.1", "alias", "")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))

    assert _link(host)["ifindex"] == index


def test_p11_device_that_somebody_else_marks_as_his_is_left_to_him(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)

    host.ip("link set flannel.1 alias mine")
    eventually(lambda: not host.daemon.is_ready(), "the daemon gives up the device")
    eventually(
        lambda: "mine" in condition(host, "BackendReady")["message"], lambda: condition(host, "BackendReady")
    )
    theirs = standing(lab, host)
    host.ip("addr flush dev flannel.1")
    never(lambda: len(standing(lab, host)) >= len(theirs), "the daemon writes to his device", seconds=0.5)

    host.run("ip", "link", "set", "flannel.1", "alias", "")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))


def test_p11_device_renamed_by_hand_is_replaced_under_its_name(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)

    host.ip("link set flannel.1 down", "link set flannel.1 name stolen0")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))

    assert not host.has_link("stolen0")
    assert unreached(lab.containers) == ()


def _as_bridge(host: Host) -> None:
    host.ip("link add flannel.1 type bridge")


def _as_other_vxlan(host: Host) -> None:
    host.ip("link add flannel.1 type vxlan id 9 dstport 4799 local 127.0.0.1")


@pytest.mark.parametrize("take", [_as_bridge, _as_other_vxlan])
def test_foreign_link_under_our_name_is_named_and_never_replaced(
    lab: Lab, take: Callable[[Host], None]
) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    host.daemon.kill()
    host.ip("link del flannel.1")
    take(host)
    theirs = _link(host)
    host.daemon.launch()

    eventually(lambda: host.daemon.answers("/healthz"), "the daemon answers", deadline=15)
    eventually(
        lambda: not condition(host, "BackendReady")["healthy"], lambda: condition(host, "BackendReady")
    )
    said = condition(host, "BackendReady")
    assert said["reason"] == "LinkTaken"
    assert "flannel.1" in said["message"]
    assert not host.daemon.is_ready()
    assert _link(host) == theirs

    host.ip("link del flannel.1")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert_settled(lab)


def test_foreign_device_with_our_vni_is_named_as_its_owner(lab: Lab) -> None:
    host = lab.hosts[1]
    before = standing(lab, host)
    host.daemon.kill()
    host.ip(
        "link del flannel.1",
        f"link add thief type vxlan id 1 dstport 8472 local {host.address} dev eth0 nolearning",
        "link set thief up",
    )
    host.daemon.launch()

    eventually(lambda: host.daemon.answers("/healthz"), "the daemon answers", deadline=15)
    eventually(
        lambda: "thief" in condition(host, "BackendReady")["message"], lambda: condition(host, "BackendReady")
    )
    assert not host.daemon.is_ready()
    assert host.has_link("thief")

    host.ip("link del thief")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=10)
    assert_settled(lab)


def test_what_is_not_ours_is_untouched_by_every_repair(lab: Lab) -> None:
    host = lab.hosts[1]
    add_decoys(host)
    before, ours = foreign_state(host), standing(lab, host)
    try:
        for line in (
            "link del flannel.1",
            "link set flannel.1 down",
            "link set flannel.1 address 02:00:00:00:be:ef",
            "route flush proto 70",
            "neigh flush dev flannel.1 nud permanent",
            "addr flush dev flannel.1",
        ):
            host.ip(line)
            eventually(lambda: standing(lab, host) == ours, lambda: wrongs(lab, host))
            assert foreign_state(host) == before
        host.daemon.restart()
        assert_settled(lab)
        assert foreign_state(host) == before
    finally:
        remove_decoys(host)


def test_healing_is_said_in_one_line_a_pass(lab: Lab) -> None:
    host = lab.hosts[1]
    seen = len(events(host, "pass_applied"))
    host.ip("link del flannel.1")
    assert_settled(lab, [host])

    def said() -> list[dict[str, Any]]:
        return events(host, "pass_applied")[seen:]

    eventually(lambda: sum(line["adds"] for line in said()) >= 9, lambda: json.dumps(said()))
    eventually(lambda: link_sysctl(host, "rp_filter") == "2", lambda: link_sysctl(host, "rp_filter"))
    (line, *more) = said()
    assert len(more) <= 1
    assert line["reason"] in {"link", "neighbour", "route", "address"}  # whichever the kernel told first
