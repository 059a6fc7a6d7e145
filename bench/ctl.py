"""Part `ctl`: how long an operator waits for `flanpyctl`."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.figures import Figure, figure
from bench.overlay import overlay, start
from bench.run import Run, alternated
from integration.lab import Host, flanpyctl

PEERS = 1000


def measure(run: Run) -> Iterable[Figure]:
    with overlay(PEERS) as (_lab, host):
        start(host, PEERS)
        daemon, etcd, version = alternated(
            run.turns(f"ctl: flanpyctl among {PEERS:,} leases", run.pick(25, 5)),
            lambda: _took(host, "subnets"),
            lambda: _took(host, "subnets", "--etcd"),
            lambda: _took(host, "version"),
        )
    note = f"Wall time of the whole process, {PEERS:,} leases, a table into a pipe."
    yield figure("ctl.daemon", "flanpyctl subnets, asking the daemon", "ms", daemon, at_most=350, note=note)
    yield figure("ctl.etcd", "flanpyctl subnets --etcd", "ms", etcd, at_most=350)
    yield figure("ctl.version", "flanpyctl version (Python, imports)", "ms", version)


def _took(host: Host, *words: str) -> float:
    before = time.perf_counter()
    done = host.run(*flanpyctl(), *words)
    took = time.perf_counter() - before
    if words[0] == "subnets" and done.stdout.count("\n") < PEERS:
        raise RuntimeError(
            f"flanpyctl {' '.join(words)} printed {done.stdout.count(chr(10))} lines: {done.stderr}"
        )
    return took * 1000
