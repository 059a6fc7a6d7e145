"""The forwarder as a process: two hosts, or one host and a peer that reads one datagram at a time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import pytest_asyncio

from flanpy.errors import KernelError
from flanpy.kernel.ethtool import Ethtool
from flanpy.model.tunnel import Count, TunnelRow
from flanpy.udp.forwarder.process import ForwarderProcess
from flanpy.udp.forwarder.tcp_segment import finish_tcp
from tests.netns import Namespace
from tests.udp.forwarder.rig import MTU, PORT, End, tunnel, two_hosts
from tests.udp.forwarder.test_segment_and_join import is_valid, word_sums
from tests.udp.forwarder.without import command_without_numpy

pytestmark = [pytest.mark.netns, pytest.mark.asyncio]

DEADLINE_S = 60
STREAM = random.Random(3).randbytes(6_000_000)


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    async with tunnel() as both:
        yield both


def set_offloads(link: str, *, on: bool) -> None:
    ethtool = Ethtool()
    for feature in ("tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-udp-segmentation", "rx-gro"):
        ethtool.set(link, feature, enabled=on)


async def counts(end: End) -> dict[Count, int]:
    assert end.process is not None
    return {count: n for count, n in (await end.process.counters()).items() if n}


async def counted(end: End, count: Count, least: int = 1) -> None:
    """Wait until so many are counted."""

    async def enough() -> bool:
        return (await counts(end)).get(count, 0) >= least

    await until(enough)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)


def listening(here: Namespace, address: str) -> socket.socket:
    return here.do(lambda: socket.create_server((address, 0)))


async def received(server: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    server.setblocking(False)
    connection, _ = await loop.sock_accept(server)
    chunks = []
    with connection:
        connection.setblocking(False)
        while chunk := await loop.sock_recv(connection, 1 << 20):
            chunks.append(chunk)
    return b"".join(chunks)


async def stream(sender: End, receiver: End, text: bytes) -> bytes:
    """Send `text` over TCP through the tunnel and return what arrives."""
    with listening(receiver.here, receiver.address) as server:
        arrival = asyncio.create_task(received(server))
        client = sender.here.do(lambda: socket.create_connection(server.getsockname(), timeout=DEADLINE_S))
        with client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, text)
        return await asyncio.wait_for(arrival, DEADLINE_S)


@pytest.mark.parametrize("offloads", ["on", "off"])
async def test_stream_arrives_byte_for_byte_both_ways(ends: tuple[End, End], offloads: str) -> None:
    one, two = ends
    for end in ends:
        end.here.do(lambda: set_offloads("eth0", on=offloads == "on"))
    assert await stream(one, two, STREAM) == STREAM
    assert await stream(two, one, STREAM) == STREAM
    assert set(await counts(one)) <= {Count.TX_PACKETS, Count.TX_BYTES, Count.RX_PACKETS, Count.RX_BYTES}


async def test_stream_arrives_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flanpy.udp.forwarder.process.command_of", command_without_numpy)
    async with tunnel() as (one, two):
        assert one.process is not None
        assert "numpy" not in Path(f"/proc/{one.process.pid}/maps").read_text()
        assert await stream(one, two, STREAM) == STREAM
        assert await stream(two, one, STREAM) == STREAM


async def test_ttl_is_two_less_at_the_far_end(ends: tuple[End, End]) -> None:
    one, two = ends
    said = await asyncio.to_thread(one.here.run, "ping", "-c1", "-W20", two.address)
    assert "ttl=62" in said


async def test_packet_to_nobody_is_answered_unreachable(ends: tuple[End, End]) -> None:
    one, _two = ends
    said = await asyncio.to_thread(one.here.run, "ping", "-c1", "-W20", "10.50.77.1", check=False)
    assert "Destination Net Unreachable" in said
    await counted(one, Count.TX_NO_ROUTE)


@pytest.mark.parametrize(
    ("ttl", "end", "count"), [(1, 0, Count.TX_TTL_EXPIRED), (2, 1, Count.RX_TTL_EXPIRED)]
)
async def test_expired_packet_is_answered(ends: tuple[End, End], ttl: int, end: int, count: Count) -> None:
    one, two = ends
    said = await asyncio.to_thread(one.here.run, "ping", "-c1", "-W20", f"-t{ttl}", two.address, check=False)
    assert f"From {ends[end].address}" in said
    assert "Time to live exceeded" in said
    await counted(ends[end], count)


async def test_datagrams_larger_than_the_mtu_arrive_as_fragments(ends: tuple[End, End]) -> None:
    one, two = ends
    # With -w ping waits for three answers; without, for the last no longer than twice a round trip.
    await asyncio.to_thread(one.here.run, "ping", "-c3", "-i0.2", "-w60", "-s", "6000", two.address)


async def test_what_is_larger_than_the_tables_mtu_is_refused_with_that_mtu(ends: tuple[End, End]) -> None:
    one, two = ends
    assert one.process is not None
    await one.process.set_table(replace(one.table(two), mtu=1000), 2)
    ping = ("ping", "-c1", "-W20", "-Mdo", "-s1100", two.address)
    said = await asyncio.to_thread(one.here.run, *ping, check=False)
    assert f"From {one.address}" in said
    assert "mtu = 1000" in said or "mtu=1000" in said
    await one.process.set_table(replace(one.table(two), mtu=900), 3)
    assert await stream(one, two, STREAM[:500_000]) == STREAM[:500_000]  # TCP is told so too, and obeys
    await counted(one, Count.TX_TOO_BIG, 2)


async def test_packets_wait_for_the_first_table_and_nobody_is_called_unreachable() -> None:
    with two_hosts() as (one, two):
        for end in (one, two):
            end.make_device()
        await two.start(one)
        one.open()
        assert one.socket is not None
        one.process = await ForwarderProcess.spawn(one.queues, one.socket)
        assert await counts(one) == {}  # it runs
        ping = ("ping", "-c3", "-i0.2", "-W30", two.address)
        said = asyncio.create_task(asyncio.to_thread(one.here.run, *ping))
        await sent_to_device(one, 2)
        assert await counts(one) == {}
        await one.process.set_table(one.table(two), 1)
        assert "3 received" in await said


async def sent_to_device(end: End, least: int) -> None:
    """Wait until so many echo requests have left the kernel."""

    async def enough() -> bool:
        snmp = await asyncio.to_thread(end.here.run, "cat", "/proc/net/snmp")
        names, values = (line.split() for line in snmp.splitlines() if line.startswith("Icmp:"))
        return int(values[names.index("OutEchos")]) >= least

    await until(enough)


async def test_processes_have_no_privileges(ends: tuple[End, End]) -> None:
    process = ends[0].process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    for pid in (str(process.pid), *children):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert status["Uid"].split() == ["65534"] * 4
        assert status["Groups"].strip() == ""
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        descriptors = [str(fd.readlink()).split(":")[0] for fd in Path(f"/proc/{pid}/fd").iterdir()]
        assert descriptors.count("/dev/net/tun") == 1
        assert descriptors.count("socket") == 2


async def test_stopped_process_gives_no_answer(ends: tuple[End, End]) -> None:
    process = ends[0].process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.counters(), 0.3)
    process.kill()
    assert await asyncio.wait_for(process.wait_ended(), DEADLINE_S) == "killed by SIGKILL"


@pytest.mark.parametrize("victim", ["parent", "child"])
async def test_both_processes_end_when_one_is_killed(ends: tuple[End, End], victim: str) -> None:
    process = ends[0].process
    assert process is not None
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid if victim == "parent" else int(child), signal.SIGKILL)
    await asyncio.wait_for(process.wait_ended(), DEADLINE_S)

    async def gone() -> bool:
        stat = Path(f"/proc/{child}/stat")
        return not stat.exists() or stat.read_text().split()[2] == "Z"

    await until(gone)
    with pytest.raises(KernelError):
        await process.counters()
    with pytest.raises(KernelError):
        await process.set_table(ends[0].table(ends[1]), 2)


async def test_process_killed_while_it_takes_a_table_is_replaced_by_one_that_forwards(
    ends: tuple[End, End],
) -> None:
    one, two = ends
    assert one.process is not None
    assert one.socket is not None
    whole = one.table(two)
    many = tuple(
        TunnelRow(
            IPv4Network((f"10.60.{n // 64}.{n % 64 * 4}", 30)), IPv4Address(f"10.98.{n // 250}.{n % 250}")
        )
        for n in range(10_000)
    )
    update = asyncio.create_task(one.process.set_table(replace(whole, rows=whole.rows + many), 2))
    await asyncio.sleep(0)  # it is sent
    os.kill(one.process.pid, signal.SIGKILL)
    await asyncio.wait_for(one.process.wait_ended(), DEADLINE_S)
    with pytest.raises(KernelError):
        await asyncio.wait_for(update, DEADLINE_S)
    one.process.kill()
    one.process = await ForwarderProcess.spawn(one.queues, one.socket)
    await one.process.set_table(replace(whole, rows=whole.rows + many), 3)
    assert await stream(one, two, STREAM[:100_000]) == STREAM[:100_000]


async def test_idle_process_does_not_run_at_all(ends: tuple[End, End]) -> None:
    process = ends[0].process
    assert process is not None
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    def switches() -> int:
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in (process.pid, child)]
        return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in texts)

    before = switches()
    await asyncio.sleep(1)  # to see nothing happen; a busy loop, or one that polls, would be seen
    assert switches() - before <= 5


async def test_memory_stays_bounded_under_a_flood_from_ever_new_addresses(ends: tuple[End, End]) -> None:
    one, two = ends
    assert one.process is not None
    assert two.process is not None
    two.process.kill()
    await two.process.wait_ended()
    assert two.socket is not None

    def memory() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    pid, seen = one.process.pid, 0
    before = memory()
    for first in range(0, 20_000, 200):
        for n in range(first, first + 200):
            text = datagram(str(IPv4Address(n * 7919 + 1)), "10.50.1.0")
            two.socket.sendto(text, (str(one.public), PORT))
        seen = first + 200
        await counted(one, Count.RX_WRONG_SOURCE, seen - 50)  # few are of the peer's own subnet
    assert memory() - before < 16_384  # KiB


async def test_process_ends_when_its_daemon_hangs_up(ends: tuple[End, End]) -> None:
    process = ends[0].process
    assert process is not None
    for control in process._controls:
        control.close()
    assert await asyncio.wait_for(process.wait_ended(), DEADLINE_S) == "exit code 0"


async def test_process_ends_when_its_device_is_deleted(ends: tuple[End, End]) -> None:
    one, two = ends
    assert one.process is not None
    one.here.ip("link del flannel0")
    with suppress(OSError):
        two.here.do(lambda: socket.create_connection((one.address, 1), timeout=0.2))
    assert await asyncio.wait_for(one.process.wait_ended(), DEADLINE_S) != ""


async def test_stream_is_whole_while_the_table_changes_all_the_time(ends: tuple[End, End]) -> None:
    one, two = ends
    assert one.process is not None
    arrival = asyncio.create_task(stream(one, two, STREAM))
    generation = 1
    while not arrival.done():
        generation += 1
        await one.process.set_table(one.table(two), generation)
    assert await arrival == STREAM
    assert generation > 2


def datagram(source: str, target: str, *, ttl: int = 64, payload: bytes = b"x" * 8) -> bytes:
    """A bare UDP packet to port 9999, as a peer would send it."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    body = struct.pack(">HHHH", 1234, 9999, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, ttl, 17, 0) + addresses
    total = ~word_sums(head) & 0xFFFF
    return head[:10] + total.to_bytes(2, "big") + head[12:] + body


HOSTILE = {
    "wrong source": (datagram("10.50.9.9", "10.50.1.0"), Count.RX_WRONG_SOURCE),
    "our own source": (datagram("10.50.1.7", "10.50.1.0"), Count.RX_WRONG_SOURCE),
    "wrong destination": (datagram("10.50.2.7", "10.50.3.1"), Count.RX_WRONG_DESTINATION),
    "destination outside": (datagram("10.50.2.7", "8.8.8.8"), Count.RX_WRONG_DESTINATION),
    "truncated": (datagram("10.50.2.7", "10.50.1.0")[:-1], Count.RX_MALFORMED),
    "padded": (datagram("10.50.2.7", "10.50.1.0") + b"x", Count.RX_MALFORMED),
    "header only in part": (datagram("10.50.2.7", "10.50.1.0")[:19], Count.RX_MALFORMED),
    "one byte": (b"E", Count.RX_MALFORMED),
    "empty": (b"", Count.RX_MALFORMED),
    "IPv6": (b"\x60" + bytes(60), Count.RX_MALFORMED),
    "header longer than packet": (
        b"\x4f" + datagram("10.50.2.7", "10.50.1.0", payload=b"")[1:],
        Count.RX_MALFORMED,
    ),
    "header too short": (b"\x44" + datagram("10.50.2.7", "10.50.1.0")[1:], Count.RX_MALFORMED),
    "oversized": (b"\x45" + bytes(60_000), Count.RX_MALFORMED),
}


async def test_hostile_datagrams_are_counted_and_dropped_and_good_ones_arrive() -> None:
    with two_hosts() as (one, two):
        one.make_device()
        await one.start(two)
        peer = two.here.do(lambda: bound((str(two.public), PORT)))
        heard = one.here.do(lambda: bound((one.address, 9999)))
        with peer, heard:
            for text, count in HOSTILE.values():
                before = (await counts(one)).get(count, 0)
                peer.sendto(text, (str(one.public), PORT))
                await counted(one, count, before + 1)
            rng = random.Random(5)
            for _ in range(3000):
                spoilt = bytearray(datagram("10.50.2.7", "10.50.1.0"))
                for _ in range(rng.randrange(1, 4)):
                    spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
                peer.sendto(spoilt[: rng.randrange(len(spoilt) + 1)], (str(one.public), PORT))
            peer.sendto(datagram("10.50.2.7", "10.50.1.0", payload=b"well met"), (str(one.public), PORT))
            heard.settimeout(DEADLINE_S)
            while await asyncio.to_thread(heard.recv, 100) != b"well met":
                pass
        two.here.ip("addr add 10.99.0.9/24 dev eth0")
        stranger = two.here.do(lambda: bound(("10.99.0.9", PORT)))
        with stranger:
            stranger.sendto(datagram("10.50.2.7", "10.50.1.0"), (str(one.public), PORT))
            await counted(one, Count.RX_UNKNOWN_SENDER)


def bound(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock


async def test_peer_that_reads_one_datagram_at_a_time_gets_whole_valid_packets_within_the_mtu() -> None:
    with two_hosts() as (one, two):
        one.make_device()
        await one.start(two)
        peer = two.here.do(lambda: bound((str(two.public), PORT)))
        with peer:
            stack = HandMadeTcp(peer, str(two.public), str(one.public))
            answer = asyncio.create_task(asyncio.to_thread(stack.receive, 300_000))
            client = await asyncio.to_thread(
                one.here.do, lambda: socket.create_connection(("10.50.2.9", 80), timeout=DEADLINE_S)
            )
            with client:
                text = STREAM[:300_000]
                await asyncio.to_thread(client.sendall, text)
                assert await asyncio.wait_for(answer, DEADLINE_S) == text
        assert stack.sizes
        assert max(stack.sizes) <= MTU
        assert stack.invalid == 0


class HandMadeTcp:
    """The least of a TCP server, one datagram at a time over the tunnel's wire format."""

    def __init__(self, sock: socket.socket, own: str, other: str) -> None:
        self._sock, self._other = sock, other
        self.sizes: list[int] = []
        self.invalid = 0
        sock.settimeout(DEADLINE_S)

    def receive(self, size: int) -> bytes:
        text, following = bytearray(), 0
        while len(text) < size:
            packet = self._sock.recv(65536)
            self.sizes.append(len(packet))
            self.invalid += not is_valid(packet)
            header = 20 + (packet[32] >> 4) * 4
            sequence, flags = int.from_bytes(packet[24:28], "big"), packet[33]
            if flags & 2:
                following = (sequence + 1) % 2**32
                self._reply(packet, 0x12, 0, following)
                continue
            if sequence == following and len(packet) > header:
                text += packet[header:]
                following = (following + len(packet) - header) % 2**32
                self._reply(packet, 0x10, 1, following)
        return bytes(text)

    def _reply(self, packet: bytes, flags: int, sequence: int, acknowledged: int) -> None:
        ports = packet[22:24] + packet[20:22]
        tcp = ports + struct.pack(">IIBBHHH", sequence, acknowledged, 0x50, flags, 65535, 0, 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + packet[16:20] + packet[12:16]
        reply = bytearray(head + tcp)
        finish_tcp(reply, 20)
        self._sock.sendto(reply, (self._other, PORT))
