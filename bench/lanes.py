"""Several ways from one container to another, up side by side, so that they can be measured in turn.

Each lane is a lab of its own with two hosts: labs share nothing but the machine, and an idle one costs hardly anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.path import Line
from flanpy.kernel.ethtool import Ethtool
from integration.lab import Lab, Program, simulated_peers, wait_until
from integration.lab.daemon import ETCD_PREFIX
from integration.lab.namespaces import in_namespace
from integration.yardstick import build

NETWORK = "10.0.0.0/8"
_SCRIPT = Path(__file__).resolve().parents[1] / "integration" / "yardstick" / "host.sh"
_CUTTING = ("tx-tcp-segmentation", "tx-udp-segmentation", "tx-generic-segmentation")


@dataclass(frozen=True, slots=True)
class Lane:
    """`line` leads from a container on the first host to one on the second."""

    lab: Lab
    line: Line

    @property
    def underlay(self) -> Line:
        """Between the two hosts themselves."""
        one, other = self.lab.hosts
        return Line(one.namespace, other.namespace, other.address)

    def cut_frames(self, *, cut: bool) -> None:
        """Whether hosts hand over frames of the MTU at most, as to a real wire, or TCP as a whole, as veth allows."""
        for host in self.lab.hosts:
            in_namespace(host.namespace, lambda: _set_cutting(cut=cut))


@contextmanager
def daemons(
    backend: Mapping[str, Any], *flags: str, peers: int = 0, complete: Callable[[Lab], None] | None = None
) -> Iterator[Lane]:
    """flanpyd on both hosts, with so many further peers' leases in etcd; `complete` does what the backend does not."""
    with Lab(hosts=2) as lab:
        lab.configure({"Network": NETWORK, "Backend": dict(backend)})
        _add_udp_peers(lab, peers)
        lab.start_daemons(*flags, deadline=60)
        if complete is not None:
            complete(lab)
        yield _lane(lab)


@contextmanager
def yardstick() -> Iterator[Lane]:
    """The C proxy on both hosts."""
    with Lab(hosts=2, program=Program(("sh", str(_SCRIPT), str(build())))) as lab:
        lab.start_daemons(deadline=60)
        yield _lane(lab)


def _lane(lab: Lab) -> Lane:
    one, other = lab.attach_containers()
    wait_until(lambda: one.ping(other).ok, "the containers reach each other", deadline=30)
    return Lane(lab, Line(one.namespace, other.namespace, other.address))


def _set_cutting(*, cut: bool) -> None:
    ethtool = Ethtool()
    for feature in _CUTTING:
        ethtool.set("eth0", feature, enabled=not cut)
    ethtool.close()


def _add_udp_peers(lab: Lab, count: int) -> None:
    """Leases as flannel hosts with the udp backend write them."""
    peers = simulated_peers(count, network=NETWORK, first=1000) if count else ()
    pairs = (
        (f"{ETCD_PREFIX}/subnets/{peer.key}", f'{{"PublicIP":"{peer.public_ip}","PublicIPv6":null}}')
        for peer in peers
    )
    if peers:
        lab.etcd.api.put_all(pairs, lease=lab.etcd.api.grant(86_400))


def machine_seconds(work: Callable[[], float]) -> tuple[float, float]:
    """What `work` gives, and the CPU seconds that the whole machine spent meanwhile."""
    before = _busy()
    result = work()
    return result, _busy() - before


def _busy() -> float:
    """CPU seconds since boot, all cores, all but idling (proc(5), /proc/stat)."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = [int(word) for word in words]
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / 100
