"""Bare network namespaces with a VXLAN device in them, and Python run inside: for figures that need no daemon."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.net import namespaces

LINK = "flannel.1"
PROJECT_ROOT = Path(__file__).resolve().parents[1]
_DEVICE = f"""\
link set lo up
link add eth0 type veth peer name eth1
addr add 172.16.0.1/12 dev eth0
link set eth1 up
link set eth0 up
link add {LINK} address 02:00:00:00:00:01 mtu 1450 type vxlan id 1 dev eth0 local 172.16.0.1 dstport 8472 nolearning
addr add 10.0.1.0/32 dev {LINK}
link set {LINK} up""".splitlines()
_numbers = itertools.count()


@contextmanager
def vxlan_namespace() -> Iterator[str]:
    """A fresh namespace with an empty VXLAN device, up; gone on exit.

    The device goes first: that frees its entries at once, where deleting the namespace would do so behind our back,
    under the lock that the next measurement needs.
    """
    name = f"fp-{os.getpid()}-bench{next(_numbers)}"
    namespaces.ip_batch(None, [f"netns add {name}"])
    try:
        namespaces.ip_batch(name, _DEVICE)
        yield name
    finally:
        namespaces.ip_batch(name, [f"link del {LINK}", "link del eth0"], force=True)
        namespaces.ip_batch(None, [f"netns del {name}"], force=True)
        time.sleep(0.2)  # the kernel frees the namespace in a worker of its own


def python_inside(namespace: str, module: str, *arguments: object, timeout: float = 300.0) -> Any:
    """Run `python -m bench.inside.<module>` in the namespace; what the last line of its output says, as JSON."""
    done = namespaces.run_in(
        namespace,
        [sys.executable, "-m", f"bench.inside.{module}", *map(str, arguments)],
        timeout=timeout,
        env={"PYTHONPATH": str(PROJECT_ROOT)},
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def seconds(namespace: str, *argv: str, timeout: float = 120.0) -> float:
    """Wall time of a command in the namespace, its start included."""
    before = time.perf_counter()
    namespaces.run_in(namespace, argv, timeout=timeout)
    return time.perf_counter() - before
