"""The lab builds what it says, runs any program with flannel's flags, and measures what really happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from integration.lab import (
    ETCD_PREFIX,
    Lab,
    LabError,
    Probe,
    Stream,
    simulated_peers,
    transfer,
    unreached,
    wait_until,
    write_peers,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd]

HANDMADE = ("sh", str(Path(__file__).parents[2] / "integration" / "handmade_vxlan.sh"))
OUTAGE_MS = 400


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three hosts with a hand-made VXLAN and a container each; every test leaves it as it found it."""
    with Lab(hosts=3, program=HANDMADE) as built:
        built.configure()
        built.start_daemons()
        built.attach_containers()
        yield built


def test_lab_runs_any_program_with_flannels_flags(lab: Lab) -> None:
    words = Path(f"/proc/{lab.hosts[0].daemon.pid}/environ").read_text().split("\0")

    assert f"--etcd-prefix={ETCD_PREFIX}" in lab.hosts[0].daemon.flags
    assert "FLANPYD_NODE_ID=h1" in words
    assert "handmade vxlan on eth0 (10.99.1.1) for 10.50.1.0/24" in lab.hosts[0].daemon.log_text()


def test_containers_of_all_hosts_reach_each_other(lab: Lab) -> None:
    assert unreached(lab.containers) == ()


def test_container_takes_address_and_mtu_from_subnet_env(lab: Lab) -> None:
    host = lab.hosts[1]
    container = host.containers[0]
    bridge = host.ip_json("address", "show", "dev", "docker0")[0]

    assert (container.address, container.mtu) == ("10.50.2.2", 1450)
    assert (bridge["addr_info"][0]["local"], bridge["mtu"]) == ("10.50.2.1", 1450)
    assert container.ping(lab.containers[0], size=1450 - 28).ok
    assert not container.ping(lab.containers[0], size=1450 - 27).ok


def test_host_in_the_lab_forwards_and_has_loopback(lab: Lab) -> None:
    for host in lab.hosts:
        assert host.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip() == "1"
        assert host.run("ping", "-c1", "-q", "127.0.0.1").returncode == 0


def test_stream_shows_a_real_gap_when_the_path_is_silent(lab: Lab) -> None:
    one, two, _three = lab.containers
    with Stream(one, two) as stream:
        stream.wait_flowing()
        with lab.faults.silence(lab.hosts[1]):
            wait_until(lambda: stream.silent_ms > OUTAGE_MS, "the stream is silent", deadline=10)
        stream.wait_flowing()
        report = stream.stop()

    assert report.longest_gap_ms > OUTAGE_MS
    assert report.whole
    assert report.received_bytes > 0


def test_stream_is_not_whole_when_the_path_never_comes_back(lab: Lab) -> None:
    one, two, _three = lab.containers
    with Stream(one, two) as stream:
        stream.wait_flowing()
        with lab.faults.cut(lab.hosts[1]):
            wait_until(lambda: stream.silent_ms > OUTAGE_MS, "the stream is silent", deadline=10)
            report = stream.stop()

    assert not report.whole
    assert report.longest_gap_ms > OUTAGE_MS


def test_stream_mark_begins_a_new_window_for_the_gap(lab: Lab) -> None:
    one, two, _three = lab.containers
    with Stream(one, two) as stream:
        stream.wait_flowing()
        with lab.faults.silence(lab.hosts[0]):
            wait_until(lambda: stream.silent_ms > OUTAGE_MS, "the stream is silent", deadline=10)
        stream.wait_flowing()
        before = stream.longest_gap_ms
        stream.mark()
        after = stream.longest_gap_ms

    assert before > OUTAGE_MS
    assert after < before


def test_probe_counts_what_was_lost_while_one_port_was_dropped(lab: Lab) -> None:
    one, _two, three = lab.containers
    with Probe(one, three) as probe:
        probe.wait_flowing()
        with lab.faults.drop_on_switch("udp dport 8472"):
            wait_until(lambda: probe.silent_ms > OUTAGE_MS, "the probe is silent", deadline=10)
        probe.wait_flowing()
        report = probe.stop()

    assert report.longest_gap_ms > OUTAGE_MS
    assert report.lost > 0
    assert report.received > 0


def test_probe_loses_about_the_share_that_is_dropped_at_random(lab: Lab) -> None:
    one, two, _three = lab.containers
    with lab.faults.lose_on_host(lab.hosts[1], 50), Probe(one, two, interval_ms=1) as probe:
        wait_until(lambda: probe.received_bytes > 200 * 64, "200 datagrams came", deadline=30)
        report = probe.stop()

    assert 0.3 < report.lost / report.sent < 0.7


def test_transfer_reports_its_throughput(lab: Lab) -> None:
    report = transfer(lab.containers[0], lab.containers[1], seconds=0.3)

    assert report.whole
    assert report.mbit_s > 0


def test_partition_parts_two_hosts_and_leaves_the_third(lab: Lab) -> None:
    one, two, three = lab.containers
    with lab.faults.partition([lab.hosts[0]], [lab.hosts[1]]):
        assert not one.ping(two).ok
        assert one.ping(three).ok
        assert two.ping(three).ok
    assert one.ping(two).ok


def test_one_way_fault_leaves_the_other_direction(lab: Lab) -> None:
    one, two = lab.containers[:2]
    assert two.ping(one).ok  # hosts that do not know each other's address yet could not ask for it
    with lab.faults.one_way(lab.hosts[0], lab.hosts[1]), Probe(two, one) as probe:
        probe.wait_flowing()
        assert not one.ping(two).ok
        assert probe.stop().received > 0


def test_mtu_and_address_of_the_underlay_change_and_come_back(lab: Lab) -> None:
    host = lab.hosts[2]
    before = host.address
    with lab.faults.set_mtu(host, 1400), lab.faults.set_address(host, "10.99.7.7"):
        link = host.ip_json("-4", "address", "show", "dev", "eth0")[0]
        assert (link["mtu"], link["addr_info"][0]["local"], host.address) == (1400, "10.99.7.7", "10.99.7.7")
        assert "default" in host.routes()
    assert host.address == before
    assert unreached(lab.containers) == ()


def test_switch_port_with_a_small_mtu_swallows_large_packets(lab: Lab) -> None:
    one, two = lab.hosts[:2]
    with lab.faults.set_switch_mtu(two, 1400):
        assert one.ping(two, size=1300).ok
        assert not one.ping(two, size=1450).ok
    assert one.ping(two, size=1450).ok


def test_replugged_nic_has_a_new_index_and_the_old_address() -> None:
    with Lab(hosts=2, program=HANDMADE) as lab:
        one, two = lab.hosts
        before = one.ip_json("link", "show", "dev", "eth0")[0]["ifindex"]
        lab.faults.replug(one)
        assert one.ip_json("link", "show", "dev", "eth0")[0]["ifindex"] != before
        assert one.run("ping", "-c1", "-q", two.address).returncode == 0


def test_second_nic_reaches_only_its_own_segment(lab: Lab) -> None:
    one, two, _three = lab.hosts
    first = lab.add_nic(one, segment=5)
    second = lab.add_nic(two, segment=5)

    assert one.run("ping", "-c1", "-q", "-I", "eth1", second.address).returncode == 0
    assert first.address.startswith("10.95.")


def test_hosts_on_two_segments_reach_each_other_by_the_router_only() -> None:
    with Lab(hosts=2, program=HANDMADE, segments=2) as lab:
        one, two = lab.hosts
        assert one.address.startswith("10.99.")
        assert two.address.startswith("10.98.")
        assert "ttl=63" in one.run("ping", "-c1", two.address).stdout


def test_daemon_is_killed_frozen_and_started_with_extra_flags(lab: Lab) -> None:
    daemon = lab.hosts[0].daemon
    daemon.freeze()
    wait_until(lambda: _state(daemon.pid) == "T", "the daemon is frozen", deadline=5)
    daemon.thaw()
    daemon.kill()
    assert daemon.exit_code == -9
    daemon.up("--public-ip=10.99.1.1", env={"LAB_PROOF": "yes"})
    assert daemon.starts == 2
    assert "LAB_PROOF=yes" in Path(f"/proc/{daemon.pid}/environ").read_text()
    assert daemon.log_text(all_starts=True).count("handmade vxlan") == 2


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_daemon_that_ends_is_reported_with_its_last_words() -> None:
    program = ("sh", "-c", "echo no such link: eth9; exit 3")
    with (
        Lab(hosts=1, program=program) as lab,
        pytest.raises(LabError, match=r"exit code 3: no such link: eth9"),
    ):
        lab.hosts[0].daemon.up()


def test_log_lines_are_parsed_and_others_are_kept_as_text() -> None:
    words = (
        """echo '{"event":"lease_acquired","subnet":"10.50.1.0/24"}'; echo Traceback; exec sleep infinity"""
    )
    with Lab(hosts=1, program=("sh", "-c", words)) as lab:
        daemon = lab.hosts[0].daemon
        daemon.launch()
        wait_until(lambda: len(daemon.log_lines()) == 2, "both lines are logged", deadline=5)
        assert daemon.events("lease_acquired")[0]["subnet"] == "10.50.1.0/24"
        assert daemon.log_lines()[1] == {"text": "Traceback"}


def test_simulated_peers_are_leases_as_flannel_writes_them(lab: Lab) -> None:
    peers = simulated_peers(250, network="10.60.0.0/14", first=300)
    lease = write_peers(lab.etcd.api, peers, prefix="/scale")
    entries = lab.etcd.api.list("/scale/subnets/")

    assert len(entries) == 250
    assert {entry.lease for entry in entries} == {lease}
    assert len({json.loads(entry.value)["PublicIP"] for entry in entries}) == 250
    value = lab.etcd.api.get("/scale/subnets/10.61.44.0-24")
    assert value is not None
    assert value.value == (
        '{"PublicIP":"10.99.16.1","PublicIPv6":null,"BackendType":"vxlan",'
        '"BackendData":{"VNI":1,"VtepMAC":"02:fa:00:00:00:00"}}'
    )


def test_simulated_peers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no room for 200 /24"):
        simulated_peers(200, network="10.50.0.0/16")


def test_simulated_peers_lie_inside_the_network_and_are_distinct() -> None:
    peers = simulated_peers(3000, network="10.0.0.0/12")

    assert all(peer.subnet.subnet_of(IPv4Network("10.0.0.0/12")) for peer in peers)
    assert len({peer.vtep_mac for peer in peers}) == 3000
