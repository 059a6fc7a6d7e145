"""Part `udp-tcp`: TCP through both planes of the udp backend, and the CPU it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import NAMES, Lane, all_lanes, in_turn, machine_seconds, of_each
from bench.run import Run

_NOTE = (
    "From host to host, by the tunnel's addresses; all hosts are namespaces, and all ends and all between share this "
    "machine's cores. Whole: the hosts' links pass TCP as veth does, in pieces of up to 64 KiB. Frames: every frame "
    "that leaves a host is cut to the MTU, and hosts join what they receive (GRO), as on a wire. VXLAN has "
    "--vxlan-tx-checksum, its faster form. All lanes stand at once and are measured in turn."
)
_CPU = (
    "CPU of the whole machine, senders, receivers and kernel in it, and the start of both ends, by the data that "
    "arrived in the measured time."
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One run: Gbit/s, and CPU seconds for each Gbit of the whole machine and of the carrying processes."""

    rate: float
    machine: float
    carriers: float


def measure(run: Run) -> Iterable[Figure]:
    run.say("udp-tcp: building five pairs of hosts")
    with all_lanes() as lanes:
        yield from _panel(run, lanes, "whole", "TCP passed whole", kernel=1.0)
        for lane in lanes.values():
            lane.cut_frames(cut=True)
        yield from _panel(run, lanes, "frames", "TCP in frames of the MTU", kernel=0.9)
        for lane in lanes.values():
            lane.cut_frames(cut=False)
        yield from _between_containers(run, lanes)


def _panel(run: Run, lanes: Mapping[str, Lane], slug: str, text: str, *, kernel: float) -> Iterable[Figure]:
    seconds = run.pick(2.0, 1.0)
    found = in_turn(run, f"udp-tcp: {text}", run.pick(7, 2), of_each(lanes, partial(_take, seconds=seconds)))
    rates = {name: [each.rate for each in samples] for name, samples in found.items()}
    prefix = f"udp-tcp.{slug}"
    for name, samples in rates.items():
        yield figure(f"{prefix}.{name}", f"{text}: {NAMES[name]}", "Gbit/s", samples, note=_NOTE)
    yield figure(
        f"{prefix}.kernel_ratio", f"  TCP {slug}: in-kernel plane / kernel VXLAN", "x",
        paired_ratios(rates["kernel"], rates["vxlan"]), at_least=kernel,
    )  # fmt: skip
    yield figure(
        f"{prefix}.user_ratio", f"  TCP {slug}: user-space plane / one packet at a time", "x",
        paired_ratios(rates["user"], rates["proxy"]), at_least=2.5,
    )  # fmt: skip
    yield figure(
        f"{prefix}.plain_ratio", f"  TCP {slug}: user-space plane without numpy / with", "x",
        paired_ratios(rates["plain"], rates["user"]),
    )  # fmt: skip
    for name, taken in found.items():
        cost = [each.machine for each in taken]
        yield figure(f"{prefix}.cpu_{name}", f"  CPU, all: {NAMES[name]}", "s/Gbit", cost, note=_CPU)
        if lanes[name].carriers:
            own = [each.carriers for each in taken]
            yield figure(f"{prefix}.own_{name}", f"  CPU, its processes: {NAMES[name]}", "s/Gbit", own)


def _take(lane: Lane, seconds: float) -> Taken:
    all_before, own_before = machine_seconds(), lane.carriers_seconds()
    rate = lane.line.rate("tcp", seconds) * 8e-9
    own, whole = lane.carriers_seconds() - own_before, machine_seconds() - all_before
    return Taken(rate, whole / (rate * seconds), own / (rate * seconds))


def _between_containers(run: Run, lanes: Mapping[str, Lane]) -> Iterable[Figure]:
    seconds = run.pick(2.0, 1.0)
    tunnels = {name: lane for name, lane in lanes.items() if name != "bare"}
    takes = of_each(tunnels, lambda lane: lane.between_containers.rate("tcp", seconds) * 8e-9)
    for name, samples in in_turn(run, "udp-tcp: container to container", run.pick(5, 2), takes).items():
        yield figure(
            f"udp-tcp.containers.{name}", f"TCP passed whole, container to container: {NAMES[name]}", "Gbit/s", samples
        )  # fmt: skip
