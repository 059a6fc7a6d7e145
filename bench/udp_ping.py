"""Part `udp-ping`: the round trip through both planes of the udp backend."""

from __future__ import annotations

from collections.abc import Iterable

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import NAMES, all_lanes, in_turn, of_each
from bench.run import Run


def measure(run: Run) -> Iterable[Figure]:
    run.say("udp-ping: building five pairs of hosts")
    with all_lanes() as lanes:
        found = in_turn(run, "udp-ping", run.pick(9, 3), of_each(lanes, lambda lane: lane.line.ping(200)))
    for name, samples in found.items():
        yield figure(
            f"udp-ping.{name}", f"ping, host to host: {NAMES[name]}", "ms", samples,
            note="By the tunnel's addresses; the median of 200, one each 5 ms.",
        )  # fmt: skip
    yield figure(
        "udp-ping.kernel_ratio", "  ping: in-kernel plane / no overlay", "x",
        paired_ratios(found["kernel"], found["bare"]), at_most=1.5,
    )  # fmt: skip
    yield figure(
        "udp-ping.user_ratio", "  ping: user-space plane / one packet at a time", "x",
        paired_ratios(found["user"], found["proxy"]), at_most=2.0,
    )  # fmt: skip
