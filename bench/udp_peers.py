"""Part `udp-peers`: whether a thousand peers cost the planes of the udp backend any throughput."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import NAMES, UDP, daemons
from bench.run import Run, alternated


def measure(run: Run) -> Iterable[Figure]:
    seconds, turns = run.pick(2.0, 1.0), run.pick(7, 2)
    for plane in ("kernel", "user"):
        run.say(f"udp-peers: building two pairs of hosts, {NAMES[plane]}")
        flag = f"--udp-plane={plane}"
        with daemons(UDP, flag) as few, daemons(UDP, flag, peers=1000) as many:
            among, alone = alternated(
                run.turns(f"udp-peers: TCP among 1,002 hosts and among 2, {NAMES[plane]}", turns),
                partial(many.line.rate, "tcp", seconds),
                partial(few.line.rate, "tcp", seconds),
            )
        yield figure(
            f"udp-peers.{plane}_ratio", f"TCP among 1,002 hosts / among 2: {NAMES[plane]}", "x",
            paired_ratios(among, alone), at_least=0.95,
            note="In one run of each at a time, in turn; what lies within 5 % counts as no difference.",
        )  # fmt: skip
