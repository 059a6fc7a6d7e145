"""Part `modes`: what each of Docker's network modes, and each backend, costs between containers of real engines.

Each is measured in turn with `--network host` between the same hosts: the network without anything of Docker's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.path import Line
from bench.run import Run, alternated
from integration.hosts.engines import DockerLab, EngineContainer

PUBLISHED = 32_100
NAMES: Mapping[str, str] = {
    "published": "bridge, by a published port, between hosts",
    "bridge": "bridge, on one host",
    "container": "`container:NAME`, in one namespace",
    "vxlan": "overlay, vxlan, between hosts",
    "udp": "overlay, udp (in-kernel plane), between hosts",
    "host-gw": "overlay, host-gw, between hosts",
}
"""What the docs call each mode."""

BACKENDS: Mapping[str, str] = {
    "vxlan": "overlay, vxlan",
    "udp": "overlay, udp",
    "host-gw": "overlay, host-gw",
}
_NOTE = (
    "Containers of two real Docker engines on one machine, so both ends share its cores; TCP with whole segments, as "
    "veths pass them on. `container` and `bridge, one host` stay on one host; they are compared with host to host, too."
)


@dataclass(frozen=True, slots=True)
class Mode:
    """One way from a container to another. `pings` is where a round trip can be taken (a published port has none)."""

    slug: str
    text: str
    line: Line
    pings: bool = True


def measure(run: Run) -> Iterable[Figure]:
    for backend in BACKENDS:
        with _engines(backend) as lab:
            modes = list(_overlay(lab, backend))
            if backend == "vxlan":
                modes += _of_docker(lab)
            bare = Line(lab.hosts[0].namespace, lab.hosts[1].namespace, lab.hosts[1].address)
            for mode in modes:
                yield from _compared(run, mode, bare)


@contextmanager
def _engines(backend: str) -> Iterator[DockerLab]:
    with DockerLab(2) as lab:
        lab.configure(backend=backend)
        lab.start_daemons(deadline=60)
        lab.start_engines()
        yield lab


def _overlay(lab: DockerLab, backend: str) -> Iterator[Mode]:
    one, two = (host.engine.run_container("plain") for host in lab.hosts)
    yield Mode(backend, BACKENDS[backend], _line(one, two))


def _of_docker(lab: DockerLab) -> Iterator[Mode]:
    first, second = lab.hosts
    one = first.engine.container("plain")
    beside = first.engine.run_container("beside")
    published = second.engine.run_container("published", "-p", f"{PUBLISHED}:{PUBLISHED}")
    end = published.as_end()
    by_port = Line(one.as_end().namespace, end.namespace, second.address, end.address, PUBLISHED)
    yield Mode("published", "bridge, published port", by_port, pings=False)
    yield Mode("bridge", "bridge, one host", _line(one, beside))
    inside = one.as_end().namespace
    yield Mode("container", "container, one namespace", Line(inside, inside, "127.0.0.1"))


def _line(source: EngineContainer, target: EngineContainer) -> Line:
    end = target.as_end()
    return Line(source.as_end().namespace, end.namespace, end.address)


def _compared(run: Run, mode: Mode, bare: Line) -> Iterator[Figure]:
    turns, seconds = run.pick(7, 2), run.pick(2.0, 1.0)
    over, plain = alternated(
        run.turns(f"modes: {mode.text}, TCP, in turn with --network host", turns),
        partial(_gbit, mode.line, seconds),
        partial(_gbit, bare, seconds),
    )
    yield figure(f"modes.{mode.slug}.tcp", f"TCP, {mode.text}", "Gbit/s", over, note=_NOTE)
    yield figure(f"modes.{mode.slug}.tcp.ratio", "  / --network host", "x", paired_ratios(over, plain))
    if mode.pings:
        over, plain = alternated(
            run.turns(f"modes: {mode.text}, ping, in turn with --network host", turns),
            partial(mode.line.ping, 200),
            partial(bare.ping, 200),
        )
        yield figure(f"modes.{mode.slug}.ping", f"ping, {mode.text}", "ms", over)
        yield figure(f"modes.{mode.slug}.ping.ratio", "  / --network host", "x", paired_ratios(over, plain))


def _gbit(line: Line, seconds: float) -> float:
    return line.rate("tcp", seconds) * 8e-9
