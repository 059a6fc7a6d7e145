"""Settings that others turn behind our back: forwarding, rp_filter, checksum offload."""

from __future__ import annotations

import array
import fcntl
import signal
import socket
import struct
from pathlib import Path

import pytest

from integration.lab import Host, Lab, flanpyctl, unreached
from integration.net.namespaces import in_namespace, sysctl
from tests.lab.conftest import BuildLab
from tests.lab.overlay import (
    assert_settled,
    condition,
    events,
    eventually,
    link_sysctl,
    metric,
    repairs,
    standing,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SIOCETHTOOL = 0x8946
GET_TX_CHECKSUM, SET_TX_CHECKSUM = 0x16, 0x17  # linux/ethtool.h ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM


def _tx_checksum(host: Host, value: int | None = None) -> int:
    """`ethtool -k flannel.1` (or -K), by the ioctl that every kernel has."""

    def ask() -> int:
        command = array.array("I", [GET_TX_CHECKSUM if value is None else SET_TX_CHECKSUM, value or 0])
        request = struct.pack("16sP", b"flannel.1", command.buffer_info()[0]).ljust(40, b"\0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            fcntl.ioctl(asked, SIOCETHTOOL, request)
        return command[1]

    return in_namespace(host.namespace, ask)


def test_p04_forwarding_turned_off_is_put_back_and_said(lab: Lab) -> None:
    host = lab.hosts[1]
    counted = repairs(host, "sysctl")
    said = len(events(host, "setting_restored"))

    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    eventually(lambda: sysctl(host.namespace, "net/ipv4/ip_forward") == "1", "ip_forward is 1 again")

    eventually(lambda: repairs(host, "sysctl") == counted + 1, lambda: repairs(host, "sysctl"))
    eventually(lambda: len(events(host, "setting_restored")) > said, "the log says so")
    (line,) = events(host, "setting_restored")[said:]
    assert line["level"] == "warning"
    assert "net.ipv4.ip_forward" in str(line)
    assert_settled(lab)
    assert unreached(lab.containers) == ()


def test_p04_forwarding_off_at_start_is_turned_on(lab: Lab) -> None:
    host = lab.hosts[1]
    host.daemon.kill()
    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    host.daemon.up()
    eventually(lambda: sysctl(host.namespace, "net/ipv4/ip_forward") == "1", "ip_forward is 1")
    assert_settled(lab)


def test_p04_device_made_anew_forwards_though_new_devices_do_not_by_default(lab: Lab) -> None:
    host = lab.hosts[1]
    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/default/forwarding")
    try:
        host.ip("link del flannel.1")
        assert_settled(lab)
        eventually(lambda: link_sysctl(host, "forwarding") == "1", lambda: link_sysctl(host, "forwarding"))
    finally:
        host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/default/forwarding")


@pytest.mark.parametrize(("name", "bad", "good"), [("forwarding", "0", "1"), ("proxy_arp", "1", "0")])
def test_p04_switch_of_our_device_turned_by_hand_is_turned_back(
    lab: Lab, name: str, bad: str, good: str
) -> None:
    host = lab.hosts[1]
    counted = repairs(host, "linksysctl")
    host.run("sh", "-c", f"echo {bad} > /proc/sys/net/ipv4/conf/flannel.1/{name}")
    eventually(lambda: repairs(host, "linksysctl") == counted + 1, lambda: repairs(host, "linksysctl"))
    assert link_sysctl(host, name) == good


def test_p04_bridge_that_does_not_forward_is_named_by_condition_doctor_and_trace_until_it_does(
    lab: Lab,
) -> None:
    host, peer = lab.hosts[1], lab.hosts[0]
    name = next(
        row["ifname"]
        for row in host.ip_json("address", "show")
        if row["ifname"] not in {"flannel.1", host.daemon.nic}
        and any(entry["local"].startswith("10.50.") for entry in row["addr_info"])
    )
    switch = f"net.ipv4.conf.{name}.forwarding"
    host.run("sysctl", "-qw", f"{switch}=0")
    try:
        eventually(
            lambda: condition(host, "ForwardingEnabled")["reason"] == "OffOnLink",
            lambda: str(condition(host, "ForwardingEnabled")),
        )
        said = condition(host, "ForwardingEnabled")
        assert said["evidence"] == [f"{switch} = 0"]
        assert f"sysctl -w {switch}=1" in said["cure"]
        assert not host.daemon.is_ready()
        target = str(peer.subnet_file.subnet.network[2])
        traced = host.run(*flanpyctl(), "trace", target, check=False)
        assert f"sysctl -w {switch}=1" in traced.stdout
        found = host.run(*flanpyctl(), "doctor", "-o", "json", check=False).stdout
        assert f"sysctl -w {switch}=1" in found
    finally:
        host.run("sysctl", "-qw", f"{switch}=1")
    eventually(host.daemon.is_ready, lambda: host.daemon.fetch("/readyz"))
    assert unreached(lab.containers) == ()


def test_p05_rp_filter_is_loose_on_our_device_whatever_the_hosts_default(lab: Lab) -> None:
    host = lab.hosts[1]
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/default/rp_filter")
    try:
        host.ip("link del flannel.1")
        assert_settled(lab)
        eventually(lambda: link_sysctl(host, "rp_filter") == "2", lambda: link_sysctl(host, "rp_filter"))
    finally:
        host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter")


def test_p05_rp_filter_set_strict_by_hand_is_loosened_again(lab: Lab) -> None:
    host = lab.hosts[1]
    counted = repairs(host, "linksysctl")
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter")
    eventually(lambda: link_sysctl(host, "rp_filter") == "2", lambda: link_sysctl(host, "rp_filter"))
    eventually(lambda: repairs(host, "linksysctl") == counted + 1, lambda: repairs(host, "linksysctl"))


def test_p07_tx_checksum_is_on_after_creation_recreation_and_toggle(lab: Lab) -> None:
    host = lab.hosts[1]
    eventually(lambda: [_tx_checksum(each) for each in lab.hosts] == [1, 1, 1], "on on every device")

    host.ip("link del flannel.1")
    assert_settled(lab)
    eventually(lambda: _tx_checksum(host) == 1, "on on the new device")

    counted = repairs(host, "feature")
    _tx_checksum(host, 0)
    eventually(lambda: _tx_checksum(host) == 1, "on after somebody turned it off")
    eventually(lambda: repairs(host, "feature") == counted + 1, lambda: repairs(host, "feature"))


def test_p07_tx_checksum_stays_off_when_asked_for_and_follows_a_reload(lab: Lab, tmp_path: Path) -> None:
    host, file = lab.hosts[1], tmp_path / "flanpyd.toml"
    before = standing(lab, host)
    file.write_text("vxlan-tx-checksum = false\n")
    host.daemon.kill()
    host.daemon.up(f"--config={file}")
    try:
        eventually(lambda: _tx_checksum(host) == 0, "off, as set")
        host.ip("link del flannel.1")
        eventually(
            lambda: standing(lab, host) == before and _tx_checksum(host) == 0, "off with the new device"
        )
        eventually(lambda: events(host, "checksum_offload_chosen"), "the log says why")
        (said,) = events(host, "checksum_offload_chosen")[-1:]
        assert (said["value"], said["reason"]) == ("off", "vxlan-tx-checksum is off")

        file.write_text("vxlan-tx-checksum = 'auto'\n")
        host.daemon.signal(signal.SIGHUP)
        eventually(lambda: _tx_checksum(host) == 1, "on after a reload")
        eventually(
            lambda: condition(host, "ChecksumOffload")["reason"] == "Right",
            lambda: condition(host, "ChecksumOffload"),
        )
        found = condition(host, "ChecksumOffload")
        assert found["status"] == "True"
        assert "eth0 (driver veth)" in found["message"]
        assert metric(host, "flanpy_checksum_offload", device="flannel.1", reason="Right") == 1
    finally:
        host.daemon.restart()


def test_own_subnet_ends_in_a_blackhole_beneath_the_bridge_when_flannels_flag_says_so(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons("--ip-blackhole-route")
    host = lab.hosts[0]
    own = str(host.subnet_file.subnet.network)

    def holes() -> list[str]:
        return [route["dst"] for route in host.ip_json("route", "show", "type", "blackhole")]

    eventually(lambda: holes() == [own], holes)
    host.ip(f"route del blackhole {own}")
    eventually(lambda: holes() == [own], holes)
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), "the hosts know each other", deadline=30)

    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", f"--subnet-file={host.daemon.subnet_path}")
    assert not holes()
