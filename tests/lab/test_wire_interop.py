"""flanpy's udp hosts beside a peer of flannel's method, and what leaves them on the wire, with offloads on and off."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Container, Host, Lab, Stream
from integration.yardstick import plain
from tests.lab.overlay import eventually
from tests.lab.udp_side import carried
from tests.lab.wire_side import (
    ICMP,
    PORT,
    TCP,
    Capture,
    Inner,
    inner_packets,
    offloads_off,
    packet_in,
    tunnelled,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

MTU = 1472
ETHER = 14
ENOUGH_BYTES = 4 << 20
PLAIN_SUBNET = "10.50.200"


class WireLab:
    """Two hosts of one plane, a third of the user-space plane, and a plain peer; a container on each."""

    def __init__(self, plane: str, lab: Lab) -> None:
        self.plane = plane
        self.lab = lab
        self.one, self.two, self.user, self.plain = lab.hosts
        self.targets = (self.two, self.user, self.plain) if plane == "kernel" else (self.user, self.plain)
        self._build()

    def _build(self) -> None:
        self.lab.configure({"Network": NETWORK})
        lease = {"PublicIP": self.plain.address, "PublicIPv6": None}
        self.lab.etcd.api.put(f"{ETCD_PREFIX}/subnets/{PLAIN_SUBNET}.0-24", json.dumps(lease))
        flanpy = (self.one, self.two, self.user)
        for host, plane in zip(flanpy, (self.plane, self.plane, "user"), strict=True):
            host.daemon.launch(f"--udp-plane={plane}", "--probe=false")  # what is captured is the test's own
        for host in flanpy:
            host.daemon.wait_ready()
        self._start_plain([f"{host.subnet_file.subnet.network}={host.address}" for host in flanpy])
        self.lab.attach_containers()
        for target in (self.two, self.user, self.plain):
            first, second = self.one.containers[0], target.containers[0]
            eventually(lambda a=first, b=second: a.ping(b).ok, f"{target.name} is reached", deadline=30)  # type: ignore[misc]
        # the fast path knows a peer a moment after the peer itself is ready
        if self.plane == "kernel":
            eventually(self._is_fast, "the two hosts use the in-kernel plane", deadline=30)

    def _is_fast(self) -> bool:
        before = carried(self.one, "kernel")
        return self.one.containers[0].ping(self.two.containers[0]).ok and carried(self.one, "kernel") > before

    def _start_plain(self, routes: Sequence[str]) -> None:
        host = self.plain
        host.daemon.subnet_path.write_text(
            f"FLANNEL_NETWORK={NETWORK}\nFLANNEL_SUBNET={PLAIN_SUBNET}.1/24\nFLANNEL_MTU={MTU}\nFLANNEL_IPMASQ=false\n"
        )
        host.ip(
            "tuntap add flannel0 mode tun",
            f"link set flannel0 mtu {MTU} up",
            f"addr add {PLAIN_SUBNET}.0/32 dev flannel0",
            f"route add {NETWORK} dev flannel0",
        )
        argv = [sys.executable, "-I", str(Path(plain.__file__)), "flannel0", host.address, str(PORT), *routes]
        host.child("plain").start(argv)


@pytest.fixture(scope="module", params=("user", "kernel"))
def wire(request: pytest.FixtureRequest) -> Iterator[WireLab]:
    with Lab(4) as lab:
        yield WireLab(request.param, lab)


def _container(host: Host) -> Container:
    return host.containers[0]


def _stream(source: Container, target: Container) -> None:
    """A few megabytes, each byte looked at."""
    with Stream(source, target, interval_ms=0) as stream:
        eventually(lambda: stream.received_bytes > ENOUGH_BYTES, "some megabytes have come", deadline=30)
        report = stream.stop()
    assert report.whole


def _traffic(source: Container, target: Container) -> None:
    """A stream, and pings too long for one packet."""
    source.run("ping", "-n", "-c", "5", "-i", "0.05", "-s", "4000", target.address, check=False)
    _stream(source, target)


def test_plain_peer_is_reached_and_reaches_with_packets_up_to_the_mtu(wire: WireLab) -> None:
    one, other = _container(wire.one), _container(wire.plain)
    for source, target in ((one, other), (other, one)):
        # one at a time: of several, ping waits for the last no longer than twice a round trip
        assert source.ping(target, wait=20).ok
        assert source.ping(target, size=MTU - 28, wait=20).ok
        source.run("ping", "-n", "-c", "1", "-W", "20", "-s", "4000", target.address)


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_streams_to_and_from_a_plain_peer_come_whole(wire: WireLab, offloads: str) -> None:
    one, other = _container(wire.one), _container(wire.plain)
    off = offloads_off((one.namespace, "eth0"), (wire.one.namespace, one.port), (wire.one.namespace, "eth0"))
    with off if offloads == "off" else nullcontext():
        for source, target in ((one, other), (other, one)):
            _stream(source, target)


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_plain_peer_reads_one_whole_valid_packet_from_each_datagram(wire: WireLab, offloads: str) -> None:
    one, other = _container(wire.one), _container(wire.plain)
    off = offloads_off((one.namespace, "eth0"), (wire.one.namespace, "eth0"))
    # what a plain peer reads from a datagram it writes to its device as it is
    with (
        off if offloads == "off" else nullcontext(),
        Capture(wire.plain.namespace, "flannel0", most=2000) as seen,
    ):
        _traffic(one, other)
    packets = [packet_in(frame) for frame in seen.frames]
    _assert_valid(packets)
    assert [
        frame for frame, packet in zip(seen.frames, packets, strict=True) if len(frame) != packet.length
    ] == []
    assert {packet.ttl for packet in packets} == {
        64 - 3
    }  # routed by our host, and one for each end of the tunnel


def _assert_valid(packets: Sequence[Inner]) -> None:
    """A stream's full packets and fragments of pings are among them, and each is whole, right and not too long."""
    assert [packet for packet in packets if packet.wrong or packet.length > MTU] == []
    assert any(packet.protocol == TCP and packet.length == MTU for packet in packets)
    assert any(packet.protocol == ICMP and packet.fragment for packet in packets)


@pytest.mark.parametrize("cut_by", ["host", "network card"])
def test_frames_on_the_wire_carry_one_valid_packet_each_within_the_mtu(wire: WireLab, cut_by: str) -> None:
    for to in wire.targets:
        # the switch's port cuts and sums what it is handed in large pieces, as a network card would
        link = (wire.one.namespace, "eth0") if cut_by == "host" else (wire.lab.plan.switch, to.seat.port)
        with offloads_off(link), Capture(to.namespace, "eth0", most=2000) as seen:
            _traffic(_container(wire.one), _container(to))
        frames = [frame for frame in seen.frames if tunnelled(frame) is not None]
        assert [frame for frame in frames if len(frame) > ETHER + 1500] == []
        assert [outer for outer in map(_outer, frames) if outer.wrong] == []
        inner = [list(inner_packets(tunnelled(frame) or b"")) for frame in frames]
        assert [packets for packets in inner if len(packets) != 1] == []
        _assert_valid([packet for packets in inner for packet in packets])


def _outer(frame: bytes) -> Inner:
    return packet_in(frame[ETHER:])


def test_peer_without_the_in_kernel_plane_is_sent_packets_that_are_cut_and_summed(wire: WireLab) -> None:
    for host in (wire.user, wire.plain):
        before = _carried_in_kernel(wire)
        with Capture(host.namespace, "eth0", most=1000) as seen:
            _traffic(_container(wire.one), _container(host))
        _assert_valid([inner for frame in seen.frames for inner in inner_packets(tunnelled(frame) or b"")])
        assert _carried_in_kernel(wire) == before


def _carried_in_kernel(wire: WireLab) -> float:
    """Packets up to now: the daemon asks for counters now and then, and after two news of one plane it knows both."""
    for _ in range(2):
        _wait_for_news(wire)
    return carried(wire.one, "kernel")


def _wait_for_news(wire: WireLab) -> None:
    known = carried(wire.one, "user")
    assert _container(wire.one).ping(_container(wire.plain), wait=20).ok
    eventually(lambda: carried(wire.one, "user") > known, "the counters are read", deadline=30)


def test_larger_pieces_are_sent_between_in_kernel_planes_only(wire: WireLab) -> None:
    """Thus what others must not be sent does get caught by this way of looking."""
    with Capture(wire.two.namespace, "eth0", most=1000) as seen:
        _traffic(_container(wire.one), _container(wire.two))
    packets = [inner for frame in seen.frames for inner in inner_packets(tunnelled(frame) or b"")]
    assert any(packet.length > MTU and packet.wrong for packet in packets) == (wire.plane == "kernel")
