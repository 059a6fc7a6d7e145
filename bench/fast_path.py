"""Part `fast`: container to container over VXLAN with the container fast path on and off, in turn in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bench.figures import Figure, figure, paired_ratios
from bench.host_gw import route_by_hand
from bench.lanes import VXLAN, daemons, in_turn
from bench.path import Line
from bench.run import Run
from integration.lab import wait_until

_NAMES: Final = {
    "on": "VXLAN, container-fast-path = on",
    "off": "VXLAN, container-fast-path = off",
    "none": "routes made by hand, no overlay",
    "bare": "host to host, no overlay",
}
_NOTE: Final = (
    "Between a container on each of two hosts, behind a bridge each; `bare` between the hosts themselves. Four "
    "paths in turn, so that each ratio is of neighbours in time. Request/response: one byte each way, one connection."
)
_RATIOS: Final = (
    ("off", "fast path on / off"),
    ("none", "fast path on / no overlay"),
    ("bare", "fast path on / bare"),
)


def measure(run: Run) -> Iterable[Figure]:
    turns, seconds = run.pick(9, 3), run.pick(2.0, 1.0)
    with (
        daemons(VXLAN, "--container-fast-path=on") as fast,
        daemons(VXLAN) as slow,
        daemons({"Type": "alloc"}, complete=route_by_hand) as none,
    ):
        lines = {
            "on": fast.between_containers,
            "off": slow.between_containers,
            "none": none.between_containers,
            "bare": slow.bare.line,
        }
        host = fast.lab.hosts[0]
        wait_until(
            lambda: "flanpy_fp_in" in host.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout,
            "the fast path stands",
            deadline=30,
        )
        for slug, text, unit, take in (
            ("tcp", "TCP throughput", "Gbit/s", lambda line: line.rate("tcp", seconds) * 8e-9),
            ("rr", "TCP request/response", "k/s", lambda line: line.rate("rr", seconds) / 1e3),
            ("udp", "UDP, 64-byte datagrams", "k/s", lambda line: line.rate("udp", seconds) / 1e3),
            ("ping", "ping", "ms", lambda line: line.ping(200)),
        ):
            yield from _compared(run, turns, (slug, text, unit), take, lines)


def _compared(
    run: Run,
    turns: int,
    said: tuple[str, str, str],
    take: Callable[[Line], float],
    lines: Mapping[str, Line],
) -> Iterable[Figure]:
    slug, text, unit = said
    takes = {name: (lambda line=line: take(line)) for name, line in lines.items()}
    found = in_turn(run, f"fast: {text}", turns, takes)
    for name, samples in found.items():
        yield figure(f"fast.{slug}.{name}", f"{text}: {_NAMES[name]}", unit, samples, note=_NOTE)
    for name, ratio in _RATIOS:
        yield figure(
            f"fast.{slug}.on_{name}", f"  {text}: {ratio}", "x", paired_ratios(found["on"], found[name])
        )
