"""Owns a whole lab from the first namespace to the last trace: the one object tests hold."""

from __future__ import annotations

import atexit
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from integration.etcd.api import ETCD_PREFIX
from integration.etcd.cluster import Etcd, EtcdMember
from integration.hosts.cables import Faults
from integration.hosts.container import Container
from integration.hosts.daemon import HostDaemon, Program, as_program
from integration.hosts.host import Host
from integration.net import claim, namespaces, topology
from integration.net.namespaces import LabError
from integration.net.topology import Plan, Seat
from integration.net.waiting import wait_until

NETWORK = "10.50.0.0/16"
HOST_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/promote_secondaries": "1",  # as systemd sets it on real hosts
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}


class Lab:
    """N hosts, an etcd and a switch, as namespaces. A context manager; `start()`/`close()` do the same by hand.

    `program` is what runs in flanneld's place on every host (default: flanpyd); `segments` spreads the hosts over that
    many L2 segments with a router between; `mtu` is the underlay's.
    """

    def __init__(
        self,
        hosts: int = 3,
        etcd_members: int = 1,
        *,
        program: Program | Sequence[str] | None = None,
        segments: int = 1,
        mtu: int = 1500,
        ipv6: bool = False,
    ) -> None:
        self._wanted = (hosts, etcd_members, segments, mtu)
        self._ipv6 = ipv6
        self._program = as_program(program)
        self._claim: claim.Claim | None = None
        self._restore_signal: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Build it: namespaces, cables, addresses, and an etcd that serves. Nothing is left behind if that fails."""
        self._restore_signal = _exit_on_sigterm()
        self._claim = claim.claim()
        atexit.register(self.close)
        try:
            self._build(self._claim)
        except BaseException:
            self.close()
            raise

    def _build(self, mine: claim.Claim) -> None:
        hosts, etcd_members, segments, mtu = self._wanted
        plan = topology.plan_lab(
            mine.prefix, hosts=hosts, etcd_members=etcd_members, segments=segments, mtu=mtu
        )
        self.plan: Plan = plan
        namespaces.ip_batch(None, topology.namespace_lines(plan))
        namespaces.ip_batch(plan.switch, topology.switch_lines(plan))
        self.etcd = self._cluster(plan.etcd)
        for name in plan.namespaces[1:]:
            self._furnish(name, [seat for seat in plan.seats if seat.namespace == name])
            if name == plan.etcd[-1].namespace:
                self.etcd.launch()  # it starts while the hosts are being furnished
        self.hosts = tuple(self._host(seat) for seat in plan.hosts)
        self.faults = Faults(plan.switch)
        self.etcd.wait_healthy()

    def _furnish(self, name: str, seats: Iterable[Seat]) -> None:
        namespaces.set_sysctls(name, HOST_SYSCTLS)
        is_router = name.endswith(topology.ROUTER)
        namespaces.ip_batch(name, topology.seat_lines(seats, routes=not is_router, ipv6=self._ipv6))

    def _cluster(self, seats: Sequence[Seat]) -> Etcd:
        """The etcd on these seats; a lab of another kind has another."""
        return Etcd([
            EtcdMember(_name(seat), seat.namespace, seat.address, directory=self.directory) for seat in seats
        ])  # fmt: skip

    def _host(self, seat: Seat) -> Host:
        return Host(_name(seat), seat, self._daemon(seat))

    def _daemon(self, seat: Seat) -> HostDaemon:
        """Make the program in flanneld's place on that host; a lab of another kind may give it other settings."""
        return HostDaemon(
            _name(seat),
            seat.namespace,
            self._program,
            directory=self.directory / _name(seat),
            endpoints=self.etcd.endpoints,
        )

    @property
    def is_up(self) -> bool:
        """Report whether start() succeeded and neither close() nor keep() came since."""
        return self._claim is not None

    @property
    def switch(self) -> str:
        """The namespace where cables are pulled."""
        return self.plan.switch

    @property
    def number(self) -> int:
        """Return the number of this lab on the machine."""
        return self._held.number

    @property
    def directory(self) -> Path:
        """Return the directory of the lab's files; gone after close()."""
        return self._held.directory

    @property
    def _held(self) -> claim.Claim:
        if self._claim is None:
            raise LabError("the lab is not up")
        return self._claim

    def host(self, name: str) -> Host:
        """A host by its name, h1 and so on."""
        return next(host for host in self.hosts if host.name == name)

    @property
    def containers(self) -> list[Container]:
        """Every container of every host."""
        return [container for host in self.hosts for container in host.containers]

    def configure(
        self, config: Mapping[str, Any] | None = None, *, network: str = NETWORK, backend: str = "vxlan"
    ) -> None:
        """Put the network config into etcd."""
        value = config or {"Network": network, "Backend": {"Type": backend}}
        self.etcd.api.put(f"{ETCD_PREFIX}/config", json.dumps(value))

    def start_daemons(self, *extra_flags: str, deadline: float = 15.0) -> dict[str, float]:
        """Start every host's daemon at once and wait for all; seconds until each was ready, by host."""
        start = time.monotonic()
        took: dict[str, float] = {}
        for host in self.hosts:
            host.daemon.launch(*extra_flags)

        def all_ready() -> bool:
            for host in self.hosts:
                if host.name not in took and host.daemon.is_ready_or_ended():
                    took[host.name] = time.monotonic() - start
            return len(took) == len(self.hosts)

        wait_until(all_ready, "every host's daemon ready", deadline=deadline)
        return took

    def attach_containers(self, each: int = 1) -> list[Container]:
        """So many more containers on every host; returns the new ones."""
        return [host.attach_container() for host in self.hosts for _ in range(each)]

    def add_nic(self, host: Host, *, segment: int, nic: str = "eth1", mtu: int = 1500) -> Seat:
        """A further NIC of a host on a segment (a new number makes a new L2 segment); returns its seat."""
        seat = topology.seat_host(self.plan.prefix, int(host.name[1:]), segment=segment, mtu=mtu, nic=nic)
        switch = self.plan.switch
        bridges = {
            link["ifname"] for link in namespaces.tool_json("ip", switch, "link", "show", "type", "bridge")
        }
        namespaces.ip_batch(None, [topology.cable_line(switch, seat)])
        new = [] if seat.bridge in bridges else [f"link add {seat.bridge} type bridge forward_delay 0"]
        namespaces.ip_batch(switch, [*new, *topology.port_lines(seat), f"link set {seat.bridge} up"])
        host.ip(*topology.seat_lines([seat], routes=False, ipv6=self._ipv6))
        return seat

    def keep(self) -> None:
        """Leave it up when this process ends; `python -m integration down N` removes it."""
        (self.directory / "lab.json").write_text(json.dumps(self.describe()))
        self._held.keep()
        self._forget()

    def describe(self) -> dict[str, Any]:
        """The lab as JSON: what the command line needs to find its way around."""
        return {
            "number": self.number,
            "etcd_endpoints": self.etcd.endpoints,
            "program": {
                "argv": self._program.argv,
                "ready_by": self._program.ready_by.value,
                "marks": asdict(self._program.marks),
            },
            "etcd": [
                {"namespace": member.namespace, "address": member.address} for member in self.etcd.members
            ],
            "hosts": [_host_row(host) for host in self.hosts],
        }

    def close(self) -> None:
        """Stop everything and remove every trace; safe to call twice."""
        if self._claim is None:
            return
        mine = self._claim
        self._forget()
        mine.release()

    def _forget(self) -> None:
        self._claim = None
        atexit.unregister(self.close)
        self._restore_signal()


def _name(seat: Seat) -> str:
    return seat.namespace.rpartition("-")[2]


def _host_row(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "namespace": host.namespace,
        "address": host.address,
        "directory": str(host.directory),
        "environment": host.daemon.environment,
        "containers": [{"namespace": c.namespace, "address": c.address} for c in host.containers],
    }


def _exit_on_sigterm() -> Callable[[], None]:
    """Make SIGTERM unwind this process (so context managers run), unless somebody handles it already."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        return lambda: None

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)

    def restore() -> None:
        with contextlib.suppress(ValueError):  # not the main thread any more: the process is ending
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return restore
