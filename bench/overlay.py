"""One host of the lab with its real daemon among simulated peers: the planner of all parts that need a daemon."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.watch import KernelWatch, open_events, put_marks
from integration.etcd.api import ETCD_PREFIX
from integration.hosts.daemon import Program, ReadyBy
from integration.lab import Host, Lab, Peer, simulated_peers, wait_until, write_peers
from integration.net.namespaces import in_namespace

NETWORK = "10.0.0.0/8"
FIRST = 100
"""Simulated peers take the subnets from here on; the daemon under test chooses one below."""

PROGRAM = Program((sys.executable, "-m", "flanpy.daemon"), ReadyBy.READYZ)


@contextmanager
def overlay(peers: int = 0) -> Iterator[tuple[Lab, Host]]:
    """A lab with one host and so many peers' leases in its etcd; no daemon runs yet."""
    with Lab(hosts=1) as lab:
        lab.configure(network=NETWORK)
        add_peers(lab, peers)
        yield lab, lab.hosts[0]


def add_peers(lab: Lab, count: int, *, first: int = 0) -> tuple[Peer, ...]:
    """Write the leases of so many hosts that do not exist, from number `first` on."""
    several = peers_from(first, count)
    if several:
        write_peers(lab.etcd.api, several)
    return several


def peers_from(first: int, count: int) -> tuple[Peer, ...]:
    """Simulated peers by number; no two numbers share a subnet, an address or a MAC."""
    return simulated_peers(first + count, network=NETWORK, first=FIRST)[first:] if count else ()


def start(host: Host, peers: int = 0, *, deadline: float = 60.0, flags: tuple[str, ...] = ()) -> None:
    """Start the daemon; returns when it is ready and all its peers stand."""
    host.daemon.up(*flags, deadline=deadline)
    wait_until(lambda: programmed(host) == peers, f"{peers} peers programmed", deadline=deadline, poll=0.2)


def programmed(host: Host) -> int:
    """Return the number of peers that the daemon reports as programmed."""
    return int(counters(host).get('flanpy_peers{state="programmed"}', -1))


def counters(host: Host) -> dict[str, float]:
    """The daemon's metrics by name and labels."""
    lines = (line.rpartition(" ") for line in host.daemon.metrics().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def forget(lab: Lab, host: Host) -> None:
    """Bring the host back to before its first start: no device, no files, no lease of its own."""
    for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/"):
        if f'"PublicIP":"{host.address}"' in entry.value:
            lab.etcd.api.delete(entry.key)
    if host.has_link("flannel.1"):
        host.ip("link del flannel.1")
    host.daemon.subnet_path.unlink(missing_ok=True)
    for directory in (host.daemon.state_dir, host.daemon.run_dir):
        shutil.rmtree(directory, ignore_errors=True)


def kernel_watch(host: Host) -> KernelWatch:
    """Return a watch on the host's kernel."""
    return KernelWatch(in_namespace(host.namespace, open_events))


def all_marks(peers: tuple[Peer, ...]) -> list[tuple[str, bytes]]:
    """Return the marks of every object of these peers."""
    return [mark for peer in peers for mark in put_marks(peer)]


def files_of(host: Host) -> Path:
    """Return the directory of the host's daemon."""
    return host.daemon.directory
