"""News that the kernel drops, listings that it interrupts, devices of others on our VNI, tools that are not there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration.drivers.matrix.outcome import in_full, noted
from integration.faults.means.steps import launch_without
from integration.hosts.daemon import flanpyd
from integration.lab import Host, Lab, Stream, unreached
from tests.faults.flows import gap_of_whole
from tests.lab.overlay import assert_settled, condition, eventually, metric_sum, never, standing, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

FLOOD = 16_000
CROWD = 1_100 if in_full() else 300
"""Neighbours; the table, which all namespaces of a machine share, takes 1,024 by default: the long tier fills it."""


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts[0]


def _addresses(count: int, verb: str) -> list[str]:
    return [f"address {verb} 198.18.{n // 250}.{n % 250 + 1}/32 dev lo" for n in range(count)]


def test_change_that_drowned_in_a_flood_of_news_is_found_and_put_right(
    lab: Lab, host: Host, stream: Stream
) -> None:
    before = standing(lab, host)
    resyncs = metric_sum(host, "flanpy_resyncs_total", reason="overrun")
    flood = [
        line for _ in range(FLOOD // 2000) for line in (*_addresses(1000, "add"), *_addresses(1000, "del"))
    ]
    host.daemon.freeze()
    try:
        host.ip(*flood[: len(flood) // 2])
        host.ip("route flush proto 70", "link set flannel.1 mtu 1300")
        host.ip(*flood[len(flood) // 2 :])
    finally:
        began = time.monotonic()
        host.daemon.thaw()
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=15)
    took = time.monotonic() - began
    eventually(
        lambda: metric_sum(host, "flanpy_resyncs_total", reason="overrun") > resyncs,
        lambda: [one for one in host.daemon.metrics().splitlines() if one.startswith("flanpy_resyncs_total")],
    )
    assert_settled(lab, [host])
    noted("kernel", "monitor overrun (ENOBUFS) with our routes among what was lost", converged_s=took,
          gap_ms=gap_of_whole(stream))  # fmt: skip


@contextmanager
def _churn(host: Host) -> Iterator[None]:
    """Add and delete foreign routes and neighbours all the while, so that listings are interrupted."""
    lines = "\n".join([
        *(f"route add blackhole 198.19.{n // 250}.{n % 250}/32 proto static" for n in range(300)),
        *(f"neighbour add 198.51.100.{n} lladdr 02:de:c0:00:00:{n:02x} dev flannel.1 nud stale" for n in range(1, 100)),
        *(f"route del blackhole 198.19.{n // 250}.{n % 250}/32 proto static" for n in range(300)),
        *(f"neighbour del 198.51.100.{n} dev flannel.1" for n in range(1, 100)),
    ])  # fmt: skip
    batch = host.directory / "churn.batch"
    batch.write_text(lines)
    rival = host.child("churn")
    rival.start(["sh", "-c", f"while :; do ip -force -batch {batch} >/dev/null 2>&1; sleep 0.1; done"])
    try:
        yield
    finally:
        os.killpg(rival.pid, signal.SIGKILL)  # the shell, and the `ip` it runs just now
        rival.kill()
        host.run("ip", "route", "flush", "proto", "static", "type", "blackhole", check=False)
        host.run("ip", "neighbour", "flush", "dev", "flannel.1", "nud", "stale", check=False)


def test_listings_that_others_interrupt_all_the_while_take_nothing_away(
    lab: Lab, host: Host, stream: Stream
) -> None:
    before = standing(lab, host)
    with _churn(host):
        for line in (
            "route flush proto 70",
            "link set flannel.1 mtu 1300",
            "neighbour flush dev flannel.1 nud permanent",
        ):
            began = time.monotonic()
            host.ip(line)
            eventually(lambda: before <= standing(lab, host), lambda: wrongs(lab, host), deadline=15)
            noted("kernel", f"{line}, under churn of 400 routes and neighbours", gap_ms=stream.longest_gap_ms,
                  converged_s=time.monotonic() - began)  # fmt: skip
        assert host.daemon.is_ready()
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=15)
    gap_of_whole(stream)
    assert_settled(lab, [host])
    assert [line for line in host.daemon.log_lines() if "text" in line] == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "same VNI and port",
            "link add thief type vxlan id 1 dstport 8472 local {address} dev eth0 nolearning",
        ),
        ("same port", "link add thief type vxlan id 4711 dstport 8472 local {address} dev eth0 nolearning"),
    ],
)
def test_foreign_device_on_our_port_is_left_alone_whether_or_not_it_keeps_us_out(
    lab: Lab, host: Host, stream: Stream, name: str, line: str
) -> None:
    """The thief comes between the deletion of ours and its making: the daemon is stopped meanwhile."""
    before = standing(lab, host)
    host.daemon.freeze()
    try:
        host.ip("link del flannel.1", line.format(address=host.address), "link set thief up")
    finally:
        host.daemon.thaw()
    try:
        if "VNI" in name:
            eventually(lambda: "thief" in condition(host, "BackendReady")["message"], host.daemon.log_tail)
            assert not host.daemon.is_ready()
        assert host.has_link("thief")
    finally:
        began = time.monotonic()
        host.ip("link del thief")
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host), deadline=15)
    noted(
        "kernel",
        f"foreign device with the {name}",
        converged_s=time.monotonic() - began,
        gap_ms=gap_of_whole(stream),
    )
    assert_settled(lab, [host])


def test_underlay_made_anew_with_another_mtu_and_index_is_followed(
    lab: Lab, host: Host, stream: Stream
) -> None:
    before = standing(lab, host)
    index = host.ip_json("link", "show", "dev", "eth0")[0]["ifindex"]
    began = time.monotonic()
    lab.faults.replug(host)
    with lab.faults.set_mtu(host, 1400):
        eventually(lambda: any("mtu 1350" in line for line in standing(lab, host)), lambda: wrongs(lab, host))
        assert_settled(lab, [host])
    eventually(lambda: standing(lab, host) == before, lambda: wrongs(lab, host))
    assert host.ip_json("link", "show", "dev", "eth0")[0]["ifindex"] != index
    stream.wait_flowing(deadline=20)
    noted("kernel", "parent replaced with a new index and another MTU", gap_ms=gap_of_whole(stream),
          converged_s=time.monotonic() - began)  # fmt: skip
    assert_settled(lab)


def test_host_without_nft_and_iptables_has_its_overlay_and_names_what_it_lacks(lab: Lab, host: Host) -> None:
    host.daemon.kill()
    try:
        hidden = 'mount -t tmpfs none /usr/sbin && exec "$@"'  # in a mount namespace of its own
        host.daemon.launch(
            "--ip-masq", argv=["unshare", "--mount", "sh", "-c", hidden, "sh", *flanpyd().argv]
        )
        host.daemon.wait_ready()
        assert_settled(lab, [host])
        eventually(
            lambda: not condition(host, "FirewallReady")["healthy"], lambda: condition(host, "FirewallReady")
        )
        said = condition(host, "FirewallReady")
        assert said["cure"], said
        assert host.daemon.is_ready()
        assert unreached(lab.containers) == ()
        told = [line for line in host.daemon.log_lines() if line.get("level") in {"warning", "error"}]
        assert 0 < len(told) < 10, told
        noted("kernel", "a host without nft and iptables")
    finally:
        host.daemon.kill()
        host.daemon.up()


def test_host_whose_kernel_has_no_vxlan_names_it_with_its_cure_and_harms_nobody(lab: Lab, host: Host) -> None:
    others = (lab.hosts[1].containers[0], lab.hosts[2].containers[0])
    host.daemon.kill()
    try:
        with Stream(*others) as stream:
            stream.wait_flowing()
            host.ip("link del flannel.1")
            launch_without(host, "vxlan")
            eventually(
                lambda: "modprobe vxlan" in host.daemon.fetch("/readyz?verbose")[1], host.daemon.log_tail
            )
            assert host.daemon.fetch("/readyz")[0] == 503
            assert not host.has_link("flannel.1")
            never(lambda: not host.daemon.running, "it ended", seconds=3)
            told = [line for line in host.daemon.log_lines() if line.get("level") in {"warning", "error"}]
            assert 0 < len(told) < 10, told
            gap = gap_of_whole(stream)
    finally:
        host.daemon.kill()
        began = time.monotonic()
        host.daemon.up()
    assert_settled(lab)
    assert unreached(lab.containers) == ()
    noted("kernel", "a kernel without VXLAN", gap_ms=gap, converged_s=time.monotonic() - began)


def test_neighbours_of_others_that_fill_the_table_cost_none_of_ours(
    lab: Lab, host: Host, stream: Stream
) -> None:
    before = standing(lab, host)
    crowd = "\n".join(
        f"neighbour replace 198.18.{n // 250}.{n % 250 + 1} lladdr 02:fa:00:00:{n // 256:02x}:{n % 256:02x}"
        " dev crowd0 nud reachable"
        for n in range(CROWD)
    )
    host.ip("link add crowd0 type bridge", "addr add 198.18.255.1/16 dev crowd0", "link set crowd0 up")
    try:
        done = host.run("ip", "-force", "-batch", "-", stdin=crowd, check=False)
        assert (done.returncode != 0) is in_full(), "the long tier fills the table, and no other"
        began = time.monotonic()
        host.ip("link del flannel.1")
        eventually(lambda: before <= standing(lab, host), lambda: wrongs(lab, host), deadline=15)
        took = time.monotonic() - began
        stream.wait_flowing(deadline=20)
    finally:
        host.ip("link del crowd0")
    assert_settled(lab, [host])
    name = "a full neighbour table" if in_full() else "many neighbours of others"
    noted("kernel", f"device deleted under {name}", converged_s=took, gap_ms=gap_of_whole(stream))
