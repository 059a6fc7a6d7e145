"""A whole chaos run: the lab, the planted foreign things, the flows, storm after storm, and what came of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from integration.drivers.chaos.calm import CALM_S, Calm
from integration.drivers.chaos.marks import Mark, marks_of
from integration.drivers.chaos.schedule import Blow
from integration.drivers.chaos.storm import Storm
from integration.drivers.chaos.verdict import Window, unexcused
from integration.faults.fault import Family, Tell
from integration.faults.means.disk import small_disk
from integration.hosts.daemon import Program
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net.waiting import wait_until
from integration.traffic.mesh import FlowReport, Flows, Loss
from integration.truth import foreign
from integration.truth.fabric import VXLAN, Fabric
from integration.truth.shadow import Shadow

QUIET_S = 1.0
"""Between a calm and the next storm: no packet may be lost here."""


@dataclass(slots=True)
class Outcome:
    """The result of a run; empty `violations` mean success. Times are monotonic seconds."""

    seed: int
    hosts: int
    families: tuple[Family, ...]
    backend: str = "vxlan"
    began: float = 0.0
    ended: float = 0.0
    windows: list[Window] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    flows: FlowReport = field(default_factory=lambda: FlowReport(0, 0, ()))
    marks: tuple[Mark, ...] = ()
    lease_changes: int = 0
    load: list[float] = field(default_factory=list)
    """How many programs wanted to run, on how few cores, after each storm: what converges late may have had no time."""
    machine_dropped: int = 0
    """Packets that the kernel dropped for want of time, of whatever namespace: they are nobody's fault."""

    @property
    def converged(self) -> list[float]:
        """Return the time that each calm took until all conditions held, in seconds."""
        return [window.well - window.calm for window in self.windows]


def run(
    blows: Sequence[Blow],
    *,
    seed: int = 0,
    hosts: int = 5,
    etcd_members: int = 3,
    families: Iterable[Family] = tuple(Family),
    say: Callable[[str], None] = lambda _line: None,
    calm: float = CALM_S,
    logs: Path | None = None,
    fabric: Fabric = VXLAN,
    program: Program | None = None,
) -> Outcome:
    """Run a schedule to its end, or to the first calm that does not come; then the daemons' logs go to `logs`."""
    outcome = Outcome(seed, hosts, tuple(families), fabric.name)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(hosts, etcd_members, ipv6=fabric.ipv6, program=program))
        shadow = Shadow(lab.etcd)
        for host in lab.hosts:
            stack.enter_context(small_disk(host.directory))
        furnish(lab, fabric)
        stack.enter_context(shadow)
        dropped = _machine_dropped()
        flows = stack.enter_context(Flows(lab.containers, directory=lab.directory))
        judge = Calm(lab, shadow, fabric)
        _took, wrong = judge.wait(deadline=calm)
        outcome.violations += [f"before the first storm: {line}" for line in wrong]
        outcome.began = time.monotonic()
        storm = Storm(
            lab,
            Tell(shadow.book.exempt.add, accuse=outcome.violations.append),
            fabric,
        )
        for number, some in groupby(blows, key=lambda blow: blow.storm):
            if outcome.violations or not _weather(outcome, storm, judge, number, list(some), calm, say):
                break
        time.sleep(QUIET_S)
        outcome.flows = flows.stop()
        outcome.ended = time.monotonic()
        outcome.machine_dropped = _machine_dropped() - dropped
        guilty = unexcused(outcome.flows.losses, outcome.windows)
        if sum(loss.lost for loss in guilty) > outcome.machine_dropped:
            outcome.violations += [_told(loss, outcome) for loss in guilty]
        outcome.violations += [f"leases: {line}" for line in shadow.book.broken]
        outcome.lease_changes = shadow.book.changes
        outcome.marks = marks_of(lab)
        if outcome.violations and logs is not None:
            _keep_logs(lab, logs)
    return outcome


def own_settings(host: Host) -> dict[str, str]:
    """Return further settings of a daemon: its Docker settings are a file that must stay untouched."""
    return {"FLANPYD_DOCKER_CONFIG_FILE": str(host.directory / "daemon.json")}


def furnish(lab: Lab, fabric: Fabric = VXLAN) -> None:
    """Set up what a run needs before its first storm: config, foreign objects, daemons, containers."""
    lab.configure(fabric.config)
    for host in lab.hosts:
        foreign.plant(host, fabric)
        host.daemon.launch(env=own_settings(host))
    wait_until(
        lambda: all(host.daemon.is_ready_or_ended() for host in lab.hosts), "every daemon ready", deadline=30
    )
    lab.attach_containers()


def _weather(
    outcome: Outcome,
    storm: Storm,
    judge: Calm,
    number: int,
    blows: list[Blow],
    calm: float,
    say: Callable[[str], None],
) -> bool:
    """Run one storm and its calm; return whether all conditions held after it."""
    for blow in blows:
        say(str(blow))
    begin = time.monotonic()
    struck = storm.rage(blows)
    still = time.monotonic()
    took, wrong = judge.wait(deadline=calm)
    outcome.load.append(round(os.getloadavg()[0] / (os.cpu_count() or 1), 1))
    outcome.windows.append(
        Window(number, begin, still, time.monotonic(), tuple(struck), "".join(judge.last_wrong[:1]))
    )
    touched = [] if wrong else judge.touched()
    outcome.violations += [f"storm {number}: not well after {took:.0f} s of calm: {line}" for line in wrong]
    outcome.violations += [f"storm {number}: touched what is foreign: {line}" for line in touched]
    missed = sum(bool(each.missed) for each in struck)
    last = f"; last came right: {judge.last_wrong[0]}" if judge.last_wrong else ""
    say(f"storm {number}: well {took:.2f} s after the last fault, {missed} missed{last}")
    time.sleep(QUIET_S)
    return not wrong


def _machine_dropped() -> int:
    """The second column of softnet_stat, of all cores: the backlog was full."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())


def _keep_logs(lab: Lab, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for host in lab.hosts:
        shutil.copy(host.daemon.log, logs / f"{host.name}.log")
    for member in lab.etcd.members:
        shutil.copy(member.log, logs / f"{member.name}.log")


def _told(loss: Loss, outcome: Outcome) -> str:
    at = loss.begin - outcome.began
    return f"flow {loss.source} -> {loss.target} lost {loss.lost} packets in {loss.gap:.2f} s at +{at:.2f} s, untouched"
