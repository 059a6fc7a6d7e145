"""Part `udp`: both planes of the udp backend beside kernel VXLAN, the bare underlay, and one packet at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import Lane, daemons, machine_seconds, yardstick
from bench.run import Run, alternated

UDP, VXLAN = {"Type": "udp"}, {"Type": "vxlan"}
NAMES: Mapping[str, str] = {
    "kernel": "in-kernel plane",
    "user": "user-space plane",
    "vxlan": "kernel VXLAN",
    "proxy": "one packet at a time (C)",
}
LOST = 0.001
"""The share of datagrams whose loss still counts as none: one in a thousand, on a machine that others share."""

_TCP = (
    "Container to container, two hosts in namespaces, both ends and all between on this machine's cores. Whole: the "
    "hosts' links pass TCP as veth does, in pieces of up to 64 KiB. Frames: every frame that leaves a host is cut to "
    "the MTU, as on a wire. VXLAN with --vxlan-tx-checksum, its faster form. All lanes stand at once, measured in turn."
)


def measure(run: Run) -> Iterable[Figure]:
    with ExitStack() as stack:
        run.say("udp: building four pairs of hosts")
        lanes = {
            "kernel": stack.enter_context(daemons(UDP, "--udp-plane=kernel")),
            "user": stack.enter_context(daemons(UDP, "--udp-plane=user")),
            "vxlan": stack.enter_context(daemons(VXLAN, "--vxlan-tx-checksum")),
            "proxy": stack.enter_context(yardstick()),
        }
        yield from _throughput(run, lanes, "whole", "TCP, links that pass it whole", kernel=1.0, user=1 / 2.5)
        for lane in lanes.values():
            lane.cut_frames(cut=True)
        yield from _throughput(run, lanes, "frames", "TCP, frames of the MTU", kernel=1 / 0.9, user=1 / 2.5)
        for lane in lanes.values():
            lane.cut_frames(cut=False)
        yield from _packets(run, lanes)
        yield from _loss_free(run, lanes)
        yield from _pings(run, lanes)
        yield from _many_peers(run, lanes, stack)


def _all(
    run: Run, text: str, turns: int, lanes: Mapping[str, Lane], take: Callable[[Lane], float]
) -> dict[str, list[float]]:
    """One sample of each lane a turn."""
    sides = [partial(take, lane) for lane in lanes.values()]
    return dict(zip(lanes, alternated(run.turns(f"udp: {text}", turns), *sides), strict=True))


def _throughput(
    run: Run, lanes: Mapping[str, Lane], slug: str, text: str, *, kernel: float, user: float
) -> Iterable[Figure]:
    seconds = run.pick(2.0, 1.0)
    costs: dict[str, list[float]] = {name: [] for name in lanes}
    names = {id(lane): name for name, lane in lanes.items()}

    def take(lane: Lane) -> float:
        rate, busy = machine_seconds(lambda: lane.line.rate("tcp", seconds) * 8e-9)
        costs[names[id(lane)]].append(busy / (rate * seconds))
        return rate

    found = _all(run, text, run.pick(7, 2), lanes, take)
    for name, samples in found.items():
        yield figure(f"udp.{slug}.{name}", f"{text}: {NAMES[name]}", "Gbit/s", samples, note=_TCP)
    yield figure(
        f"udp.{slug}.kernel_ratio", "  kernel VXLAN / in-kernel plane", "x",
        paired_ratios(found["vxlan"], found["kernel"]), at_most=kernel,
    )  # fmt: skip
    yield figure(
        f"udp.{slug}.user_ratio", "  one packet at a time / user-space plane", "x",
        paired_ratios(found["proxy"], found["user"]), at_most=user,
    )  # fmt: skip
    for name in lanes:
        yield figure(
            f"udp.{slug}.cpu_{name}", f"  CPU for each Gbit: {NAMES[name]}", "s/Gbit", costs[name],
            note="CPU of the whole machine, senders, receivers and kernel in it, start of both ends too, by the data "
            "that arrived in the measured time.",
        )  # fmt: skip


def _packets(run: Run, lanes: Mapping[str, Lane]) -> Iterable[Figure]:
    seconds = run.pick(2.0, 1.0)
    found = _all(
        run, "64-byte datagrams", run.pick(7, 2), lanes, lambda lane: lane.line.rate("udp", seconds) / 1e3
    )
    for name, samples in found.items():
        yield figure(f"udp.packets.{name}", f"64-byte datagrams, flood: {NAMES[name]}", "k/s", samples)
    yield figure(
        "udp.packets.kernel_ratio", "  kernel VXLAN / in-kernel plane", "x",
        paired_ratios(found["vxlan"], found["kernel"]), at_most=1 / 1.4,
        note="What arrives while a sender floods with 64 datagrams a call.",
    )  # fmt: skip
    yield figure(
        "udp.packets.user_ratio", "  one packet at a time / user-space plane", "x",
        paired_ratios(found["proxy"], found["user"]), at_most=1 / 1.5,
    )  # fmt: skip


def _loss_free(run: Run, lanes: Mapping[str, Lane]) -> Iterable[Figure]:
    seconds = run.pick(1.0, 0.5)
    found = _all(
        run, "64-byte datagrams without loss", run.pick(3, 1), lanes, lambda lane: _highest(lane, seconds)
    )
    for name, samples in found.items():
        yield figure(
            f"udp.lossfree.{name}", f"64-byte datagrams, none lost: {NAMES[name]}", "k/s", samples,
            note=f"The highest rate at which at most {LOST:.1%} are lost, found by halving from 400,000 a second.",
        )  # fmt: skip


def _highest(lane: Lane, seconds: float) -> float:
    low, high = 0.0, 400e3
    for _ in range(6):
        rate = (low + high) / 2
        if lane.line.loss(rate, seconds) <= LOST:
            low = rate
        else:
            high = rate
    return low / 1e3


def _pings(run: Run, lanes: Mapping[str, Lane]) -> Iterable[Figure]:
    turns = run.pick(9, 3)
    found = _all(run, "ping", turns, lanes, lambda lane: lane.line.ping(200))
    bare = lanes["kernel"].underlay
    (hosts,) = alternated(run.turns("udp: ping, no overlay", turns), lambda: bare.ping(200))
    for name, samples in found.items():
        yield figure(f"udp.ping.{name}", f"ping, container to container: {NAMES[name]}", "ms", samples)
    yield figure("udp.ping.bare", "ping, host to host, no overlay", "ms", hosts)
    yield figure(
        "udp.ping.kernel_ratio", "  in-kernel plane / no overlay", "x", paired_ratios(found["kernel"], hosts),
        at_most=1.5, note="Containers are a bridge and a veth further than the hosts are.",
    )  # fmt: skip
    yield figure(
        "udp.ping.user_ratio", "  user-space plane / one packet at a time", "x",
        paired_ratios(found["user"], found["proxy"]), at_most=2.0,
    )  # fmt: skip


def _many_peers(run: Run, lanes: Mapping[str, Lane], stack: ExitStack) -> Iterable[Figure]:
    """The same planes among 1,000 peers."""
    seconds, turns = run.pick(2.0, 1.0), run.pick(7, 2)
    for plane in ("kernel", "user"):
        many = stack.enter_context(daemons(UDP, f"--udp-plane={plane}", peers=1000))
        few = lanes[plane]
        text = f"udp: TCP among 2 and 1,002 hosts, {NAMES[plane]}"
        alone, among = alternated(
            run.turns(text, turns),
            partial(few.line.rate, "tcp", seconds),
            partial(many.line.rate, "tcp", seconds),
        )
        yield figure(
            f"udp.peers.{plane}_ratio", f"TCP among 1,002 hosts / among 2: {NAMES[plane]}", "x",
            paired_ratios(among, alone),
        )  # fmt: skip
