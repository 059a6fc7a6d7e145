"""Several paths from one host to another, up side by side, so that they can be measured in turn.

Each lane is a lab of its own with two hosts: labs share nothing but the machine, and an idle one costs hardly anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench.path import Line
from bench.proc import cpu_seconds
from bench.run import Run, alternated
from flanpy.kernel.ethtool import Ethtool
from integration.etcd.api import ETCD_PREFIX
from integration.hosts.daemon import flanpyd
from integration.lab import Lab, Program, simulated_peers, wait_until
from integration.net.namespaces import in_namespace, pids_in
from integration.yardstick import compiler, program

T = TypeVar("T")

NETWORK = "10.0.0.0/8"
UDP, VXLAN = {"Type": "udp"}, {"Type": "vxlan"}
NAMES: Mapping[str, str] = {
    "kernel": "in-kernel plane",
    "user": "user-space plane",
    "plain": "user-space plane, no numpy",
    "vxlan": "kernel VXLAN",
    "proxy": f"one packet at a time ({'C' if compiler() else 'Python'})",
    "bare": "no overlay",
}
_SCRIPT = Path(__file__).resolve().parents[1] / "integration" / "yardstick" / "host.sh"
_FORWARDER = "flanpy.udp.forwarder"
_TCP_CUTTING = (
    "tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation",
)  # fmt: skip
_CUTTING = (*_TCP_CUTTING, "tx-udp-segmentation", "tx-generic-segmentation")
_JOINING = "rx-gro"


@dataclass(frozen=True, slots=True)
class Lane:
    """`line` leads from the first host to the second, through the tunnel if there is one.

    `carriers` are the processes that carry what is sent, if it is not the kernel alone; both hosts'.
    """

    lab: Lab
    line: Line
    carriers: tuple[int, ...] = ()

    @property
    def between_containers(self) -> Line:
        """Return the same lane from a container to a container."""
        one, other = self.lab.containers
        return Line(one.namespace, other.namespace, other.address)

    @property
    def bare(self) -> Lane:
        """Between the same two hosts, past the tunnel."""
        one, other = self.lab.hosts
        return Lane(self.lab, Line(one.namespace, other.namespace, other.address))

    def cut_frames(self, *, cut: bool) -> None:
        """Make hosts hand over frames of the MTU at most, as to a real wire, or TCP as a whole, as veth allows.

        From a wire, hosts join what they receive (GRO), as with any network card; veth does so only for senders
        that cut.
        """
        switch = {host.seat.port: _TCP_CUTTING for host in self.lab.hosts}
        in_namespace(self.lab.plan.switch, lambda: _set(switch, enabled=not cut))
        for host in self.lab.hosts:
            in_namespace(host.namespace, lambda: _set({"eth0": _CUTTING}, enabled=not cut))
            in_namespace(host.namespace, lambda: _set({"eth0": (_JOINING,)}, enabled=cut))

    def carriers_seconds(self) -> float:
        """CPU time of the carriers so far."""
        return sum(cpu_seconds(pid) for pid in self.carriers)


@contextmanager
def daemons(
    backend: Mapping[str, Any],
    *flags: str,
    peers: int = 0,
    complete: Callable[[Lab], None] | None = None,
    program: Program | None = None,
) -> Iterator[Lane]:
    """flanpyd on both hosts, with so many further peers' leases in etcd; `complete` does what the backend does not."""
    with Lab(hosts=2, program=program) as lab:
        lab.configure({"Network": NETWORK, "Backend": dict(backend)})
        _add_udp_peers(lab, peers)
        lab.start_daemons(*flags, deadline=60)
        if complete is not None:
            complete(lab)
        yield _lane(lab)


def without_numpy() -> Program:
    """flanpyd as it runs where the extra `udp-bulk` is not installed."""
    hidden = "import runpy, sys; sys.modules['numpy'] = None; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    code = (
        "import sys; from flanpy.daemon.main import main; from flanpy.udp.forwarder import process; "
        f"process.command_of = lambda module: (sys.executable, '-I', '-c', {hidden!r}, module); sys.exit(main())"
    )
    return replace(flanpyd(), argv=(sys.executable, "-c", code))


@contextmanager
def yardstick() -> Iterator[Lane]:
    """The yardstick on both hosts."""
    with Lab(hosts=2, program=Program(("sh", str(_SCRIPT), str(program())))) as lab:
        lab.start_daemons(deadline=60)
        yield _lane(lab)


@contextmanager
def all_lanes() -> Iterator[dict[str, Lane]]:
    """Set up every lane. The bare one is between the hosts of the first."""
    with ExitStack() as stack:
        plain = without_numpy()
        lanes = {
            "kernel": stack.enter_context(daemons(UDP, "--udp-plane=kernel")),
            "user": stack.enter_context(daemons(UDP, "--udp-plane=user")),
            "plain": stack.enter_context(daemons(UDP, "--udp-plane=user", program=plain)),
            "vxlan": stack.enter_context(daemons(VXLAN, "--vxlan-tx-checksum")),
            "proxy": stack.enter_context(yardstick()),
        }
        yield {**lanes, "bare": lanes["kernel"].bare}


def in_turn(run: Run, text: str, turns: int, takes: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Take one sample of each lane per turn."""
    return dict(zip(takes, alternated(run.turns(text, turns), *takes.values()), strict=True))


def of_each(lanes: Mapping[str, Lane], take: Callable[[Lane], T]) -> dict[str, Callable[[], T]]:
    """Return what to take of each lane, by its name."""
    return {name: partial(take, lane) for name, lane in lanes.items()}


def _lane(lab: Lab) -> Lane:
    one, other = lab.attach_containers()
    wait_until(lambda: one.ping(other).ok, "the containers reach each other", deadline=30)
    in_namespace(lab.plan.switch, _pass_unfiltered)
    first, second = lab.hosts
    within = str(
        second.subnet_file.subnet.network.network_address
    )  # what a tunnel's device has, if there is one
    tunnelled = any(row for row in second.ip_json("address", "show", "to", within) if row)
    line = Line(first.namespace, second.namespace, within if tunnelled else second.address)
    return Lane(lab, line, tuple(_carriers(lab)))


def _pass_unfiltered() -> None:
    """The switch stands for a wire: no connection tracking of frames on a bridge, which costs more than a tunnel."""
    for path in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        path.write_text("0")


def _carriers(lab: Lab) -> Iterator[int]:
    proxy = str(program()) if lab.hosts[0].daemon.program.argv[0] == "sh" else ""
    for pid in pids_in([host.namespace for host in lab.hosts]):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        if _FORWARDER in words or (proxy and proxy in words):
            yield pid


def _set(features: Mapping[str, Sequence[str]], *, enabled: bool) -> None:
    ethtool = Ethtool()
    for link, names in features.items():
        for name in names:
            ethtool.set(link, name, enabled=enabled)
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


def machine_seconds() -> float:
    """CPU seconds since boot, all cores, all but idling (proc(5), /proc/stat)."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = [int(word) for word in words]
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / 100
