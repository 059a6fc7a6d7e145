"""Part `hostgw`: container to container over host-gw, against the same two bridges joined by routes made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import Lane, daemons
from bench.run import Run, alternated
from integration.lab import Lab


def measure(run: Run) -> Iterable[Figure]:
    turns, seconds = run.pick(9, 2), run.pick(2.0, 1.0)
    with daemons({"Type": "host-gw"}) as overlay, daemons({"Type": "alloc"}, complete=_route_by_hand) as bare:
        for slug, text, unit in (("tcp", "TCP throughput", "Gbit/s"), ("udp", "64-byte datagrams", "k/s")):
            scale = 8e-9 if slug == "tcp" else 1e-3
            over, plain = alternated(
                run.turns(f"hostgw: {text}, host-gw and hand-made routes in turn", turns),
                partial(_rate, overlay, slug, seconds, scale),
                partial(_rate, bare, slug, seconds, scale),
            )
            yield figure(f"hostgw.{slug}.ours", f"{text}, host-gw", unit, over)
            yield figure(f"hostgw.{slug}.bare", f"{text}, routes made by hand", unit, plain)
            yield figure(
                f"hostgw.{slug}.ratio", f"  {text}: host-gw / by hand", "x", paired_ratios(over, plain), at_least=0.95,
                note="The same bridges and hosts; host-gw adds a route to each peer and nothing to a packet.",
            )  # fmt: skip


def _rate(lane: Lane, protocol: str, seconds: float, scale: float) -> float:
    return lane.between_containers.rate(protocol, seconds) * scale


def _route_by_hand(lab: Lab) -> None:
    for host, other in zip(lab.hosts, reversed(lab.hosts), strict=True):
        host.ip(f"route replace {other.subnet_file.subnet.network} via {other.address}")
