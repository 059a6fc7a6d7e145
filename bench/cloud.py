"""Part `cloud`: containers by a provider's router with aws-vpc, against the same router without an overlay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from bench.figures import Figure, figure, paired_ratios
from bench.lanes import Lane
from bench.path import Line
from bench.run import Run, alternated
from integration.cloud.lab_side import LabAws
from integration.lab import NETWORK, Lab, unreached, wait_until
from integration.net.namespaces import ip_batch
from integration.net.topology import ROUTER


def measure(run: Run) -> Iterable[Figure]:
    turns, seconds = run.pick(9, 2), run.pick(2.0, 1.0)
    with _by_aws() as ours, _by_hand() as bare:
        over, plain = alternated(
            run.turns("cloud: TCP throughput, aws-vpc and no overlay in turn", turns),
            partial(_rate, ours, seconds),
            partial(_rate, bare, seconds),
        )
        yield figure("cloud.tcp.ours", "TCP throughput, aws-vpc", "Gbit/s", over)
        yield figure("cloud.tcp.bare", "TCP throughput, no overlay", "Gbit/s", plain)
        yield figure(
            "cloud.tcp.ratio", "  TCP throughput: aws-vpc / no overlay", "x", paired_ratios(over, plain), at_least=0.95,
            note="The same hosts and router, its routes made by the provider or by hand: nothing is added to a packet.",
        )  # fmt: skip


def _rate(lane: Lane, seconds: float) -> float:
    return lane.between_containers.rate("tcp", seconds) * 8e-9


@contextmanager
def _by_aws() -> Iterator[Lane]:
    with Lab(2, segments=2) as lab:
        lab.configure({"Network": NETWORK, "Backend": {"Type": "aws-vpc"}})
        aws = LabAws(lab)
        aws.start(*lab.hosts, interval=3600.0)
        lane = _lane(lab)
        wait_until(lambda: not unreached(lab.containers), "the provider's routes stand", deadline=10)
        aws.freeze()  # a real one does not run on the hosts' processors
        yield lane


@contextmanager
def _by_hand() -> Iterator[Lane]:
    with Lab(2, segments=2) as lab:
        lab.configure({"Network": NETWORK, "Backend": {"Type": "alloc"}})
        lab.start_daemons()
        lane = _lane(lab)
        routes = [f"route add {host.subnet_file.subnet.network} via {host.address}" for host in lab.hosts]
        ip_batch(lab.plan.prefix + ROUTER, routes)
        yield lane


def _lane(lab: Lab) -> Lane:
    lab.attach_containers()
    one, other = lab.hosts
    return Lane(lab, Line(one.namespace, other.namespace, other.address))
