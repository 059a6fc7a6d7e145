"""S1 with flannel's default backend: a network config of one line, three hosts, containers that reach each other."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from integration.lab import (
    ETCD_PREFIX,
    Container,
    Host,
    Lab,
    LabError,
    Stream,
    flanpyctl,
    transfer,
    unreached,
)
from tests.lab.overlay import (
    assert_settled,
    assert_told,
    condition,
    events,
    eventually,
    repairs,
    standing,
    wrongs,
)
from tests.lab.udp_side import carried, data_plane, dropped, filters, forwarders, signal_forwarders, starts

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PLANES = ("user", "kernel")
PORT = 8285


class UdpLab:
    """Three hosts of one plane, kept for a module; built again if a test left it broken."""

    def __init__(self, plane: str) -> None:
        self.plane = plane
        self._stack = ExitStack()
        self._lab: Lab | None = None

    def healthy(self) -> Lab:
        if self._lab is not None:
            try:
                self._wake(self._lab)
            except (AssertionError, LabError):
                self.close()
            else:
                return self._lab
        self._lab = self._stack.enter_context(Lab(3))
        self._lab.configure({"Network": "10.50.0.0/16"})
        self._lab.start_daemons(f"--udp-plane={self.plane}")
        self._lab.attach_containers()
        self._wake(self._lab)
        return self._lab

    def _wake(self, lab: Lab) -> None:
        for host in lab.hosts:
            if not host.daemon.running:
                host.daemon.up(f"--udp-plane={self.plane}")
        assert_settled(lab, deadline=30)

    def close(self) -> None:
        self._stack.close()
        self._lab = None


@pytest.fixture(scope="module", params=PLANES)
def udp_lab(request: pytest.FixtureRequest) -> Iterator[UdpLab]:
    made = UdpLab(request.param)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def plane(udp_lab: UdpLab) -> str:
    return udp_lab.plane


@pytest.fixture
def lab(udp_lab: UdpLab) -> Lab:
    return udp_lab.healthy()


def _reach_each_other(lab: Lab) -> None:
    """Wait until they do: the tunnel's table is in no kernel table that a settled host is judged by."""
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=30)


def test_s1_network_without_backend_comes_up_as_udp_and_everyone_reaches_everyone(
    lab: Lab, plane: str
) -> None:
    # A ready host may learn of its peers a moment later, and its first packets wait for their routes.
    _reach_each_other(lab)
    for host in lab.hosts:
        assert host.subnet_file.mtu == 1472
        assert data_plane(host).startswith("kernel" if plane == "kernel" else "user space")
        assert condition(host, "BackendReady")["status"] == "True"
        assert len(events(host, "data_plane_chosen")) == 1


def test_s1_leases_are_flannels_with_our_own_fields_last(lab: Lab, plane: str) -> None:
    keys = ["PublicIP", "PublicIPv6", "NodeID"] + (["FastPath"] if plane == "kernel" else [])

    def said() -> list[list[str]]:
        return [list(json.loads(entry.value)) for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")]

    # the fast path is told once it is loaded, a moment after the host is ready
    eventually(lambda: said() == [[*keys, "MeshToken"]] * len(lab.hosts), said, deadline=30)


def test_tunnel_takes_one_from_the_ttl_at_each_end(lab: Lab) -> None:
    one, two, _ = lab.containers
    # 64 at the sender; the two hosts route, and take one each besides: flannel's 62 is that of host to host
    assert _received_ttl(one, two) == 60


def test_streams_come_whole_both_ways(lab: Lab, plane: str) -> None:
    one, two, _ = lab.containers
    before = carried(lab.hosts[0], plane)
    for source, target in ((one, two), (two, one)):
        report = transfer(source, target, seconds=1.0)
        assert report.whole
        assert report.received_bytes > 100_000
    eventually(lambda: carried(lab.hosts[0], plane) > before, "the plane counts what it carries")


def test_full_packet_passes_and_a_larger_one_is_answered_with_the_mtu(lab: Lab) -> None:
    one, two, _ = lab.containers
    assert one.ping(two, size=1472 - 28, wait=5).ok
    assert not one.ping(two, size=1473 - 28).ok


def test_udp_process_killed_under_a_stream_is_back_and_the_stream_whole(lab: Lab) -> None:
    one, two, _ = lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        before, count = forwarders(two), starts(two)
        signal_forwarders(two, signal.SIGKILL)
        eventually(lambda: starts(two) > count, "another process runs", deadline=30)
        stream.wait_flowing()
        report = stream.stop()
    assert report.whole
    assert not set(before) & set(forwarders(two))
    assert_settled(lab, deadline=30)
    _reach_each_other(lab)
    eventually(lambda: events(two, "data_plane_restored"), "the log says so")


def test_udp_process_that_hangs_is_noticed_and_replaced(lab: Lab) -> None:
    one, two, _ = lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        before, count = forwarders(two), starts(two)
        signal_forwarders(two, signal.SIGSTOP)
        eventually(lambda: starts(two) > count, "another process runs", deadline=30)
        stream.wait_flowing()
        report = stream.stop()
    assert report.whole
    assert not set(before) & set(forwarders(two))


def test_p11_deleted_tun_device_is_made_again_with_the_whole_tunnel(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before, counted = standing(lab, two), repairs(two, "link")
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        two.ip("link del flannel0")
        eventually(lambda: repairs(two, "link") > counted, "the device is made again", deadline=30)
        eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two), deadline=30)
        stream.wait_flowing()
        report = stream.stop()
    assert report.whole
    _reach_each_other(lab)


@pytest.mark.parametrize(
    "line",
    [
        "link set flannel0 down",
        "link set flannel0 mtu 1300",
        "addr flush dev flannel0",
        "route flush proto 70",
    ],
)
def test_p11_altered_tun_device_is_put_right_in_place(lab: Lab, line: str) -> None:
    two = lab.hosts[1]
    before, index = standing(lab, two), two.ip_json("link", "show", "dev", "flannel0")[0]["ifindex"]
    two.ip(line)
    eventually(lambda: standing(lab, two) == before, lambda: wrongs(lab, two), deadline=30)
    assert two.ip_json("link", "show", "dev", "flannel0")[0]["ifindex"] == index
    _reach_each_other(lab)


def test_daemon_killed_under_a_stream_leaves_device_and_filters_and_takes_its_process_along(
    lab: Lab, plane: str
) -> None:
    one, two, _ = lab.hosts
    before, attached = standing(lab, two), filters(two)
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        two.daemon.kill()
        eventually(lambda: forwarders(two) == [], "the process ends with the daemon", deadline=30)
        assert standing(lab, two) == before
        assert filters(two) == attached
        if plane == "kernel":
            stream.mark()
            for _ in range(20):
                stream.wait_flowing()  # nobody supervises, and nothing is missing
        two.daemon.up(f"--udp-plane={plane}")
        stream.wait_flowing()
        report = stream.stop()
    assert report.whole
    _reach_each_other(lab)


def test_restart_while_etcd_is_away_knows_the_peers(lab: Lab, plane: str) -> None:
    one, two, _ = lab.hosts
    lab.etcd.freeze()
    try:
        two.daemon.stop()
        two.daemon.launch(f"--udp-plane={plane}")
        eventually(
            lambda: two.containers[0].ping(one.containers[0]).ok,
            "the peers of the last run are reached",
            deadline=30,
        )
    finally:
        lab.etcd.thaw()
    assert_settled(lab, deadline=30)


def test_taken_port_is_a_condition_and_the_tunnel_follows_once_it_is_free(lab: Lab, plane: str) -> None:
    two = lab.hosts[1]
    two.daemon.stop()
    eventually(lambda: forwarders(two) == [], "the process ended", deadline=30)
    holder = two.child("holder")
    holder.start(["python3", "-c", HOLD, two.address, str(PORT)])
    eventually(lambda: "bound" in holder.log_text(), "the port is held", deadline=30)
    two.daemon.launch(f"--udp-plane={plane}")
    try:
        eventually(lambda: _backend(two)["reason"] == "PortTaken", lambda: _backend(two), deadline=30)
        assert f"UDP port {PORT} of {two.address} is taken" in _backend(two)["message"]
        assert not two.daemon.is_ready()
    finally:
        holder.kill()
    assert_settled(lab, [two], deadline=60)
    _reach_each_other(lab)


def _backend(host: Host) -> dict[str, str]:
    """BackendReady, and nothing as long as the daemon does not answer."""
    try:
        return condition(host, "BackendReady")
    except LabError:
        return {"reason": "", "message": ""}


HOLD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2])))
print("bound", flush=True); time.sleep(600)
"""


def test_datagrams_of_strangers_and_with_strange_sources_are_dropped_and_counted(lab: Lab) -> None:
    one, two, three = lab.hosts
    target = two.containers[0].address
    stranger, wrong = dropped(two, "rx_unknown_sender"), dropped(two, "rx_wrong_source")
    one.ip("addr add 10.99.1.200/16 dev eth0")
    try:
        _send(one, "10.99.1.200", two.address, _inner("10.50.200.9", target))
    finally:
        one.ip("addr del 10.99.1.200/16 dev eth0")
    eventually(lambda: dropped(two, "rx_unknown_sender") > stranger, "the stranger is counted", deadline=30)
    # a peer, with the source of another peer's container
    one.daemon.stop()
    try:
        eventually(lambda: forwarders(one) == [], "the port is free", deadline=30)
        _send(one, one.address, two.address, _inner(three.containers[0].address, target))
    finally:
        one.daemon.up()
    eventually(lambda: dropped(two, "rx_wrong_source") > wrong, "the lie is counted", deadline=30)


def _send(host: Host, source: str, target: str, payload: bytes) -> None:
    host.run("python3", "-c", SEND, source, target, str(PORT), payload.hex())


SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[3])))
s.sendto(bytes.fromhex(sys.argv[4]), (sys.argv[2], int(sys.argv[3])))
"""


def _inner(source: str, target: str) -> bytes:
    """An IPv4 packet with an empty UDP datagram in it."""
    head = (
        bytes([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0])
        + socket.inet_aton(source)
        + socket.inet_aton(target)
    )
    total = sum(int.from_bytes(head[i : i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + checksum.to_bytes(2, "big") + head[12:] + bytes([0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0])


def test_underlay_with_another_address_is_followed(lab: Lab) -> None:
    _, two, three = lab.hosts
    with lab.faults.set_address(two, "10.99.1.77"):
        assert_told(lab, two, deadline=60)
        assert_settled(lab, deadline=60)
        eventually(
            lambda: three.containers[0].ping(two.containers[0]).ok, "the new address carries", deadline=30
        )
    assert_told(lab, two, deadline=60)
    assert_settled(lab, deadline=60)
    eventually(lambda: unreached(lab.containers) == (), "the old address carries again", deadline=30)


def test_underlay_with_another_mtu_is_followed(lab: Lab) -> None:
    two = lab.hosts[1]
    with lab.faults.set_mtu(two, 1400):
        assert_settled(lab, [two], deadline=30)
        eventually(lambda: two.subnet_file.mtu == 1372, "subnet.env follows", deadline=30)
    assert_settled(lab, [two], deadline=30)


def test_new_peers_device_of_the_underlay_is_followed(lab: Lab) -> None:
    two = lab.hosts[1]
    lab.faults.replug(two)
    assert_settled(lab, deadline=60)
    eventually(lambda: unreached(lab.containers) == (), "all is reached again", deadline=30)


def test_cleanup_removes_device_filters_table_and_nothing_else(lab: Lab, plane: str) -> None:
    two = lab.hosts[1]
    two.daemon.stop()
    done = two.run(*flanpyctl(), "cleanup", "--yes")
    assert "ip link del flannel0" in done.stdout
    assert not two.has_link("flannel0")
    assert filters(two) == {}
    assert not (two.daemon.run_dir / "tunnel.json").exists()
    two.daemon.up(f"--udp-plane={plane}")
    assert_settled(lab, deadline=30)
    eventually(lambda: unreached(lab.containers) == (), "all is as before", deadline=30)


def test_device_of_somebody_else_is_named_and_left_alone(lab: Lab, plane: str) -> None:
    two = lab.hosts[1]
    two.daemon.stop()
    two.ip("link del flannel0", "link add flannel0 type bridge")
    two.daemon.launch(f"--udp-plane={plane}")
    try:
        eventually(lambda: _backend(two)["reason"] == "LinkTaken", lambda: _backend(two), deadline=30)
        assert forwarders(two) == []
    finally:
        two.ip("link del flannel0")
    assert_settled(lab, [two], deadline=30)
    eventually(lambda: unreached(lab.containers) == (), "the tunnel works", deadline=30)


def _received_ttl(source: Container, target: Container) -> int:
    argv = ["ip", "netns", "exec", target.namespace, "python3", "-c", TTL, target.address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        try:
            assert listener.stdout.readline() == "ready\n"
            source.run("python3", "-c", POKE, target.address)
            return int(listener.stdout.readline())
        finally:
            listener.kill()


TTL = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 7777))
s.setsockopt(socket.IPPROTO_IP, 12, 1); s.settimeout(60)  # IP_RECVTTL
print("ready", flush=True)
_, told, _, _ = s.recvmsg(100, 100)
print(int.from_bytes(told[0][2], sys.byteorder), flush=True)
"""
POKE = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20):
    s.sendto(b"x", (sys.argv[1], 7777)); time.sleep(0.05)
"""


def test_port_of_the_network_config_is_followed_at_run_time(lab: Lab) -> None:
    lab.configure({"Network": "10.50.0.0/16", "Backend": {"Type": "udp", "Port": 9285}})
    try:
        for host in lab.hosts:
            eventually(lambda host=host: f"{host.address}:9285" in _ports(host), "the new port", deadline=30)  # type: ignore[misc]
        eventually(lambda: unreached(lab.containers) == (), "all is reached by the new port", deadline=30)
    finally:
        lab.configure({"Network": "10.50.0.0/16"})
    for host in lab.hosts:
        eventually(lambda host=host: f"{host.address}:{PORT}" in _ports(host), "the usual port", deadline=30)  # type: ignore[misc]
    eventually(lambda: unreached(lab.containers) == (), "all is as before", deadline=30)


def _ports(host: Host) -> str:
    return host.run("ss", "-Hulpn").stdout
