"""Part `named`: named networks and names between containers of two real engines, against the flat overlay and none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

from bench.figures import Figure, figure, paired_ratios, percentile
from bench.namespace import PROJECT_ROOT, python_inside
from bench.path import Line
from bench.run import Run, alternated
from integration.hosts.engines import DockerHost, DockerLab, EngineContainer
from integration.hosts.engines.names import RESOLVER, NamesProgram
from integration.net.namespaces import enter_argv
from integration.net.waiting import wait_until

_NETWORK = "shop"
_NOTE = (
    "Containers of two real Docker engines on one machine, so both ends share its cores. Named: Docker's bridge of the "
    "network with our VXLAN port in it. Flat: docker0 on the leased subnet, routed into flannel.1. No overlay: "
    "containers with --network host. In turn."
)
_VISIBLE = (
    "From the time of Docker's own start event of a container to the first answer with its address that a container of "
    "the other host gets from its embedded DNS, asked every millisecond. One container after the other."
)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Ways:
    """Three ways between the same two hosts."""

    named: Line
    flat: Line
    bare: Line


def measure(run: Run) -> Iterable[Figure]:
    with _hosts() as lab:
        web = _box(lab.hosts[0], "web", _NETWORK)
        ways = Ways(
            _line(web, _box(lab.hosts[1], "db", _NETWORK)),
            _line(_box(lab.hosts[0], "near", ""), _box(lab.hosts[1], "far", "")),
            Line(lab.hosts[0].namespace, lab.hosts[1].namespace, lab.hosts[1].address),
        )
        _reached(ways)
        yield from _traffic(run, ways)
        yield from _lookups(run, web)
        yield from _visible(run, lab, web)
        yield from _starts(run, lab.hosts[1])


@contextmanager
def _hosts() -> Iterator[DockerLab]:
    """Two hosts as an operator has them, with the network in Docker and names told."""
    with ExitStack() as stack:
        lab = stack.enter_context(DockerLab(2))
        for host in lab.hosts:
            host.path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        lab.configure()
        lab.start_daemons(f"--dns-listen={RESOLVER}:53", deadline=60)
        lab.start_engines()
        lab.hosts[0].flanpyctl("networks", "create", _NETWORK, "10.96.0.0/16")
        for host in lab.hosts:
            wait_until(partial(_is_made, host), f"{host.name}: the network", deadline=30)
            program = NamesProgram(host)
            stack.callback(program.stop)
            program.start()
        yield lab


def _is_made(host: DockerHost) -> bool:
    done = host.flanpyctl("docker", "networks", "-o", "json", check=False)
    return done.returncode == 0 and _NETWORK in {one["name"] for one in json.loads(done.stdout)}


def _box(host: DockerHost, name: str, network: str) -> EngineContainer:
    words = ("--network", network) if network else ()
    return host.engine.run_container(name, "--dns", RESOLVER, *words)


def _line(source: EngineContainer, target: EngineContainer) -> Line:
    end = target.as_end()
    return Line(source.as_end().namespace, end.namespace, end.address)


def _reached(ways: Ways) -> None:
    for way in (ways.named, ways.flat):
        ping = ["ping", "-c", "1", "-W", "1", way.address]
        wait_until(
            lambda way=way, ping=ping: subprocess.run(  # type: ignore[misc]
                [*enter_argv(way.source), *ping], check=False, capture_output=True
            ).returncode == 0,
            f"{way.address} answers", deadline=30,
        )  # fmt: skip


def _traffic(run: Run, ways: Ways) -> Iterator[Figure]:
    seconds = run.pick(2.0, 1.0)
    kinds: tuple[tuple[str, str, str, Callable[[Line], float]], ...] = (
        ("tcp", "TCP throughput", "Gbit/s", lambda line: line.rate("tcp", seconds) * 8e-9),
        ("udp", "UDP, 64-byte datagrams", "k/s", lambda line: line.rate("udp", seconds) / 1e3),
        ("ping", "round trip (ping)", "ms", lambda line: line.ping(200)),
    )
    for slug, text, unit, take in kinds:
        named, flat, bare = alternated(
            run.turns(f"named: {text}: named, flat, no overlay", run.pick(7, 2)),
            partial(take, ways.named),
            partial(take, ways.flat),
            partial(take, ways.bare),
        )
        yield figure(f"named.{slug}", f"{text}, named network", unit, named, note=_NOTE)
        yield figure(f"named.{slug}.flat", f"{text}, flat overlay", unit, flat)
        yield figure(f"named.{slug}.bare", f"{text}, no overlay", unit, bare)
        yield figure(f"named.{slug}.of_flat", "  named / flat", "x", paired_ratios(named, flat))
        yield figure(f"named.{slug}.of_bare", "  named / no overlay", "x", paired_ratios(named, bare))


def _lookups(run: Run, web: EngineContainer) -> Iterator[Figure]:
    times = run.pick(2000, 300)
    for slug, text, name, most in (
        ("local", "name of this host", "web", None),
        ("remote", "name of the other host", "db", 1.0),
        ("unknown", "name of nobody", "nobody", None),
    ):
        run.say(f"named: {times} lookups of a {text}")
        took: list[float] = python_inside(web.as_end().namespace, "lookups", "pace", name, times)
        note = "Asked of Docker's embedded DNS in a container, one after the other."
        yield figure(f"named.lookup.{slug}", f"lookup, {text}", "ms", took, at_most=most, note=note)
        yield figure(f"named.lookup.{slug}.p99", "  99 of 100 within", "ms", percentile(took, 99))


def _visible(run: Run, lab: DockerLab, web: EngineContainer) -> Iterator[Figure]:
    there = lab.hosts[1].engine
    names = [f"late{next(_numbers)}" for _ in range(run.pick(24, 6))]
    began = int(time.time())
    words = (sys.executable, "-m", "bench.inside.lookups", "found", *names)
    with subprocess.Popen(
        [*enter_argv(web.as_end().namespace), *words], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
    ) as watcher:
        for turn in run.turns("named: a container, found from the other host", len(names)):
            _box(lab.hosts[1], names[turn], _NETWORK)
        found = json.loads(watcher.communicate(timeout=60)[0])
    told = there.docker(
        "events", "--since", str(began), "--until", str(int(time.time()) + 1), "--filter", "event=start",
        "--format", "{{json .}}",
    ).stdout  # fmt: skip
    rows = (json.loads(line) for line in told.splitlines())
    starts = {row["Actor"]["Attributes"]["name"]: row["timeNano"] / 1e9 for row in rows}
    took = [(found[name] - starts[name]) * 1000 for name in names]
    yield figure(
        "named.visible", "start event to name found on the other host", "ms", took, at_most=100, note=_VISIBLE
    )
    yield figure("named.visible.most", "  all within", "ms", max(took))
    for name in names:
        there.container(name).remove()


def _starts(run: Run, host: DockerHost) -> Iterator[Figure]:
    host.engine.docker("network", "create", "plain")
    named, plain, bridge = alternated(
        run.turns("named: docker run on it, on a user's bridge, on the default one", run.pick(12, 3)),
        partial(_start, host, _NETWORK),
        partial(_start, host, "plain"),
        partial(_start, host, ""),
    )
    note = "docker run -d until it returns, the three in turn."
    yield figure("named.run", "docker run, named network", "ms", named, note=note)
    yield figure("named.run.plain", "docker run, a user-defined bridge", "ms", plain)
    yield figure("named.run.bridge", "docker run, the default bridge", "ms", bridge)
    yield figure("named.run.ratio", "  named / user-defined bridge", "x", paired_ratios(named, plain))


def _start(host: DockerHost, network: str) -> float:
    name = f"run{next(_numbers)}"
    began = time.perf_counter()
    box = _box(host, name, network)
    took = (time.perf_counter() - began) * 1000
    box.remove()
    return took
