"""Part `names`: the names of 1,000 hosts with 50 containers each, as every host of their networks follows them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from bench import proc
from bench.figures import Figure, figure
from bench.namespace import PROJECT_ROOT
from bench.run import Run
from integration.etcd.loopback import LoopbackEtcd

HOSTS = 1000
_NOTE = (
    "A real etcd on loopback with 5,000 records (5 networks, 10 containers each), listed and watched by the daemon's "
    "own session and view in a process of their own, which is on all five networks."
)


def measure(run: Run) -> Iterable[Figure]:
    changes = run.pick(300, 50)
    with LoopbackEtcd.started() as etcd:
        pid = etcd.members[0].pid
        _inside(etcd.urls[0], "fill", HOSTS)
        rows, servers = [], []
        for _ in run.turns(f"names: {HOSTS:,} hosts listed, then {changes} changes", run.pick(5, 2)):
            before = proc.cpu_seconds(pid)
            rows.append(_inside(etcd.urls[0], "follow", changes))
            servers.append((proc.cpu_seconds(pid) - before) / changes * 1000)
        size = proc.memory(pid)["Rss"]
    yield figure(
        "names.list",
        "50,000 containers listed and taken in",
        "s",
        [row["listed"] for row in rows],
        note=_NOTE,
    )
    yield figure("names.memory", "  memory of the view", "MiB", [row["resident"] for row in rows])
    changed = [one for row in rows for one in row["took"]]
    yield figure("names.change", "a change, from its put to the view", "ms", changed)
    yield figure(
        "names.change.cpu",
        "  CPU of putting and taking it in",
        "ms",
        [one for row in rows for one in row["cpu"]],
    )
    yield figure("names.etcd.cpu", "  CPU of etcd for it, with its share of the listing", "ms", servers)
    yield figure("names.etcd.memory", "etcd, resident", "MiB", size)


def _inside(url: str, way: str, count: int) -> Any:
    words = (sys.executable, "-m", "bench.inside.names", url, way, str(count))
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, cwd=PROJECT_ROOT)
    return json.loads(done.stdout.strip().splitlines()[-1])
