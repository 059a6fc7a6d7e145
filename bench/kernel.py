"""Part `kernel`: peers programmed from an empty kernel, against iproute2's batches and pyroute2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, figure, paired_ratios
from bench.inside.peers import bridge_lines, ip_lines, peers
from bench.namespace import LINK, python_inside, seconds, vxlan_namespace
from bench.run import Run, alternated

PYROUTE2_PEERS = 1000


def measure(run: Run) -> Iterable[Figure]:
    for count, turns in ((1000, run.pick(15, 3)), (10_000, run.pick(9, 1))):
        yield from _against_batches(run, count, turns)
    yield from _one_by_one(run)


def _against_batches(run: Run, count: int, turns: int) -> Iterable[Figure]:
    with TemporaryDirectory(prefix="fp-bench-") as directory:
        batches = _Batches(Path(directory), count)
        ours, theirs = alternated(
            run.turns(f"kernel: {count:,} peers, flanpy and ip -batch in turn", turns),
            lambda: _by_adapter(count),
            batches.run,
        )
    name = f"{count:,} peers programmed"
    yield figure(
        f"kernel.{count}.ratio", f"{name}, flanpy / ip -batch", "x", paired_ratios(ours, theirs), at_most=1.0,
        note="Into a fresh namespace: neighbour, FDB entry and route for each peer. flanpy: from the operations in "
        "memory to the outcome of the last. iproute2: bridge -batch and ip -batch reading the same from files, less "
        "the time the two commands take with empty files. Run in turn; the median of the ratios of neighbours.",
    )  # fmt: skip
    yield figure(f"kernel.{count}.flanpy", f"{name}, flanpy", "ms", _milli(ours))
    yield figure(f"kernel.{count}.iproute2", f"{name}, ip -batch + bridge -batch", "ms", _milli(theirs))


def _one_by_one(run: Run) -> Iterable[Figure]:
    turns = run.pick(3, 1)
    ours, theirs = alternated(
        run.turns(f"kernel: {PYROUTE2_PEERS:,} peers, flanpy and pyroute2 in turn", turns),
        lambda: _by_adapter(PYROUTE2_PEERS),
        lambda: _program("pyroute2", PYROUTE2_PEERS),
    )
    name = f"{PYROUTE2_PEERS:,} peers programmed"
    yield figure(
        f"kernel.{PYROUTE2_PEERS}.pyroute2", f"{name}, pyroute2 one by one", "ms", _milli(theirs),
        note="AsyncIPRoute, a request awaited at a time.",
    )  # fmt: skip
    yield figure(
        f"kernel.{PYROUTE2_PEERS}.pyroute2_ratio", f"{name}, pyroute2 / flanpy", "x", paired_ratios(theirs, ours)
    )  # fmt: skip


def _by_adapter(count: int) -> float:
    return _program("ours", count)


def _program(way: str, count: int) -> float:
    with vxlan_namespace() as namespace:
        return float(python_inside(namespace, "program", way, count, LINK))


class _Batches:
    """iproute2's way: two files, two commands."""

    def __init__(self, directory: Path, count: int) -> None:
        several = peers(count, LINK)
        self._ip = _written(directory / "ip", ip_lines(several))
        self._bridge = _written(directory / "bridge", bridge_lines(several))
        self._nothing = _written(directory / "nothing", ())

    def run(self) -> float:
        with vxlan_namespace() as namespace:
            start = min(
                seconds(namespace, "bridge", "-batch", self._nothing)
                + seconds(namespace, "ip", "-batch", self._nothing)
                for _ in range(3)
            )
            took = seconds(namespace, "bridge", "-batch", self._bridge)
            return took + seconds(namespace, "ip", "-batch", self._ip) - start


def _written(path: Path, lines: Iterable[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def _milli(values: Iterable[float]) -> list[float]:
    return [value * 1000 for value in values]
