"""Three hosts of a lab and a real Prometheus that scrapes them with the shipped rules, their waits cut to a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from integration.lab import Host, Lab
from integration.monitoring import Prometheus
from tests.lab.overlay import eventually

PATIENCE_S = 30.0


class Watched:
    """Three hosts whose metrics a Prometheus can reach."""

    def __init__(self, lab: Lab, prometheus: Prometheus, flags: tuple[str, ...]) -> None:
        self.lab = lab
        self.prometheus = prometheus
        self.instances = {prometheus.target(host) for host in lab.hosts}
        self._flags = flags

    def start(self, host: Host) -> None:
        """Start its daemon, to serve metrics where Prometheus looks."""
        host.daemon.launch(*self._flags, env={"FLANPYD_METRICS_LISTEN": Prometheus.target(host)})

    def seen(self, expression: str) -> set[str]:
        """The hosts of which an expression holds."""
        return {labels["instance"] for labels, _ in self.prometheus.query(expression)}

    def wait_until_all_show(self, expressions: tuple[str, ...]) -> None:
        """Each must come to hold of each host."""
        missing = list(expressions)

        def all_there() -> bool:
            missing[:] = [each for each in missing if self.seen(each) != self.instances]
            return not missing

        eventually(all_there, lambda: f"not on every host: {missing}", deadline=PATIENCE_S)

    def on(self, alert: str, *hosts: Host) -> set[tuple[str, str]]:
        """An alert of these hosts, as `firing` tells it."""
        return {(alert, self.prometheus.target(host)) for host in hosts}

    def wait_until_firing(self, alerts: set[tuple[str, str]]) -> None:
        eventually(lambda: alerts <= self.prometheus.firing(), self._told, deadline=PATIENCE_S)

    def wait_until_cleared(self, alerts: set[tuple[str, str]]) -> None:
        eventually(lambda: not alerts & self.prometheus.firing(), self._told, deadline=PATIENCE_S)

    def _told(self) -> str:
        return f"firing: {sorted(self.prometheus.firing())}"


@contextmanager
def watched_lab(*flags: str) -> Iterator[Watched]:
    """Up, with all daemons ready; `flags` are the daemons'."""
    with Lab(3) as lab:
        lab.configure()
        with Prometheus(lab) as prometheus:
            watched = Watched(lab, prometheus, flags)
            for host in lab.hosts:
                watched.start(host)
            for host in lab.hosts:
                host.daemon.wait_ready()
            yield watched
