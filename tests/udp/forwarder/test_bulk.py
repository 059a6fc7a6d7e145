"""Work on many packets at once gives the same with numpy and without; without is what one gets where it is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

import flanpy
from flanpy.udp.forwarder import bulk_numpy, bulk_plain
from flanpy.udp.forwarder.packet import ACK, PSH
from tests.udp.forwarder.test_datagrams import datagram
from tests.udp.forwarder.test_segment_and_join import tcp
from tests.udp.forwarder.without import hide_numpy

_ASK = "from flanpy.udp.forwarder import bulk; print(bulk.chosen.__name__)"


def _chosen(path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", _ASK],
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_numpy_is_used_where_it_is_and_missed_where_it_is_not(tmp_path: Path) -> None:
    assert _chosen(tmp_path) == "flanpy.udp.forwarder.bulk_numpy"
    assert _chosen(hide_numpy(tmp_path)) == "flanpy.udp.forwarder.bulk_plain"


def test_one_module_of_the_product_imports_numpy() -> None:
    package = Path(flanpy.__file__).parent
    found = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) numpy", path.read_text(), re.MULTILINE)
    }
    assert found == {"bulk_numpy.py"}


def _spoilt(packets: list[bytearray], rng: Random) -> bytes:
    """Alter a few of their bytes."""
    for _ in range(rng.randrange(4)):
        packet = rng.choice(packets)
        packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
    return b"".join(packets)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3]), min_size=1, max_size=20), st.integers(0, 1 << 32))
def test_breaks_in_streams_are_the_same(kinds: list[int], seed: int) -> None:
    rng, seq, packets = Random(seed), Random(seed).choice([5, 2**32 - 900]), []
    for kind in kinds:
        flags = ACK | PSH if kind == 1 else ACK
        packets.append(
            tcp(rng.randbytes(100), seq=seq % 2**32, flags=flags, options=bytes(12), port=1000 + (kind == 3))
        )
        seq += 100 + (kind == 2)
    text = memoryview(_spoilt(packets, rng))
    assert bulk_plain.tcp_breaks(text, 152, 52) == bulk_numpy.tcp_breaks(text, 152, 52)
    assert bulk_plain.payloads(text, 152, 52) == bulk_numpy.payloads(text, 152, 52)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 1 << 32))
def test_breaks_in_datagrams_are_the_same(same: list[bool], seed: int) -> None:
    rng = Random(seed)
    packets = [
        bytearray(datagram(rng.randbytes(50), number=number if one else number + 7))
        for number, one in enumerate(same)
    ]
    text = memoryview(_spoilt(packets, rng))
    assert bulk_plain.udp_breaks(text, 78) == bulk_numpy.udp_breaks(text, 78)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(1, 200), st.integers(0, 10), st.integers(0, 255))
@example(12, 2, 2, 16)  # a checksum of zero
def test_segments_are_the_same(count: int, size: int, options: int, flags: int) -> None:
    payload = Random(count).randbytes(count * size)
    packet = tcp(payload, seq=2**32 - 50, flags=flags, options=bytes(4 * options))
    head, text = packet[: 40 + 4 * options], memoryview(payload)
    assert bulk_plain.cut(head, text, count, size) == bulk_numpy.cut(head, text, count, size)
