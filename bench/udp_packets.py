"""Part `udp-packets`: how many small datagrams both planes of the udp backend pass."""

from __future__ import annotations

from collections.abc import Iterable

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import NAMES, Lane, all_lanes, in_turn, of_each
from bench.run import Run

LOST = 0.001
"""The share whose loss still counts as none: one in a thousand, on a machine that others share."""

HIGHEST = 400e3
_STEPS = 6


def measure(run: Run) -> Iterable[Figure]:
    seconds = run.pick(2.0, 1.0)
    run.say("udp-packets: building five pairs of hosts")
    with all_lanes() as lanes:
        takes = of_each(lanes, lambda lane: lane.line.rate("udp", seconds) / 1e3)
        flood = in_turn(run, "udp-packets: flood", run.pick(7, 2), takes)
        takes = of_each(lanes, lambda lane: highest(lane, seconds / 2) / 1e3)
        calm = in_turn(run, "udp-packets: the most without loss", run.pick(3, 1), takes)
    for name, samples in flood.items():
        yield figure(
            f"udp-packets.flood.{name}", f"64-byte datagrams, flood: {NAMES[name]}", "k/s", samples,
            note="Host to host, by the tunnel's addresses: what arrives while a sender gives 64 datagrams a call.",
        )  # fmt: skip
    yield figure(
        "udp-packets.flood.kernel_ratio", "  packets: in-kernel plane / kernel VXLAN", "x",
        paired_ratios(flood["kernel"], flood["vxlan"]), at_least=1.4,
    )  # fmt: skip
    yield figure(
        "udp-packets.flood.user_ratio", "  packets: user-space plane / one packet at a time", "x",
        paired_ratios(flood["user"], flood["proxy"]), at_least=1.5,
    )  # fmt: skip
    for name, samples in calm.items():
        yield figure(
            f"udp-packets.lossfree.{name}", f"64-byte datagrams, none lost: {NAMES[name]}", "k/s", samples,
            note=f"The highest rate really sent of which at most {LOST:.1%} were lost, in one of two tries, found by "
            f"halving from {HIGHEST:,.0f} a second.",
        )  # fmt: skip


def highest(lane: Lane, seconds: float) -> float:
    """Datagrams a second."""
    low, high, best = 0.0, HIGHEST, 0.0
    for _ in range(_STEPS):
        rate = (low + high) / 2
        sent = _lossless(lane, rate, seconds) or _lossless(lane, rate, seconds)
        best = max(best, sent)
        low, high = (rate, high) if sent else (low, rate)
    return best


def _lossless(lane: Lane, rate: float, seconds: float) -> float:
    """The rate really sent, 0 if any were lost."""
    sent, lost = lane.line.paced(rate, seconds)
    return sent if lost <= LOST else 0.0
