"""The guided tour (`make demo`): three hosts, real etcd, real VXLAN, real traffic, two faults, and with
Docker a network by name.

Owns the order of the tour and what must come out of each step; it must not contain a way of doing things that tests
could not use too (that belongs in integration.lab).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from integration.drivers import named
from integration.drivers.stage import Failed, Stage, matrix
from integration.hosts.container import Container, PingResult
from integration.hosts.daemon import flanpyctl
from integration.hosts.host import Host
from integration.hosts.lab import NETWORK, Lab
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until
from integration.traffic.pairs import Probe, Stream, transfer

LIMIT_MS = 1000
"""The longest gap the tour accepts in traffic under a fault."""
LOG_LINES = 12


class Demo:
    """One run of the tour on a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Build a switch, an etcd and three hosts out of network namespaces", self.build),
            (f"Write the network config: {NETWORK}, VXLAN", self.configure),
            ("Start three flanpyd at once", self.start_daemons),
            ("Show the leases", self.show_leases),
            ("Put a container on each host's bridge and ping every pair", self.ping_all),
            ("Send TCP between two containers for two seconds, checked byte for byte", self.transfer),
            ("Kill a flanpyd (-9) and start it again under a running stream", self.kill_daemon),
            ("Delete the VXLAN device on a host", self.delete_device),
        )
        if named.can_be_shown():
            title = "Find a container of another host by name, on two hosts with Docker"
            self.steps += ((title, self.find_by_name),)
        self.stage = Stage(len(self.steps))

    def run(self) -> None:
        """Every step in order; the first that fails raises."""
        for title, action in self.steps:
            with self.stage.step(title):
                action()

    def build(self) -> None:
        """Namespaces, cables, and an etcd that serves."""
        self.lab.start()
        self.stage.say(f"etcd  {self.lab.etcd.endpoints}")
        for host in self.lab.hosts:
            self.stage.say(f"{host.name}    {host.address}  namespace {host.namespace}")

    def configure(self) -> None:
        """The operator's first command."""
        self.stage.say(self.operator(self.lab.hosts[0], "network", "init", NETWORK, "--backend", "vxlan"))

    def start_daemons(self) -> None:
        """All at once, so they race for subnets."""
        self.stage.command("flanpyd", *self.lab.hosts[0].daemon.flags)
        for name, seconds in sorted(self.lab.start_daemons().items()):
            subnet = self.lab.host(name).subnet_file
            self.stage.say(f"{name} ready after {seconds:.2f} s with {subnet.subnet}, MTU {subnet.mtu}")

    def show_leases(self) -> None:
        """Show the leases that every host can see."""
        self.stage.say(self.operator(self.lab.hosts[0], "subnets"))

    def ping_all(self) -> None:
        """Both directions of every pair, for their round-trip times."""
        containers = self.lab.attach_containers()
        results = {(one.name, other.name): one.ping(other, count=5) for one, other in _pairs(containers)}
        names = [container.name for container in containers]
        rows = [(one, [_cell(results.get((one, other))) for other in names]) for one in names]
        self.stage.say("average of 5 round trips in ms, row to column")
        self.stage.say(matrix("", names, rows))
        lost = [f"{one} -> {other}" for (one, other), result in results.items() if not result.ok]
        if lost:
            raise Failed(f"pings were lost: {', '.join(lost)}")

    def transfer(self) -> None:
        """The overlay's throughput, with namespaces sharing this machine's cores."""
        one, two = self.lab.containers[:2]
        report = transfer(one, two, seconds=2)
        self.stage.say(
            f"{one.name} -> {two.name}: {report.received_bytes / 1e6:,.0f} MB at {report.mbit_s:,.0f} Mbit/s"
        )
        if not report.whole:
            raise Failed(f"the stream did not come whole and in order: {report}")

    def kill_daemon(self) -> None:
        """Traffic does not pass through flanpyd, so neither its death nor its return may be felt."""
        one, two = self.lab.containers[:2]
        daemon = self.lab.hosts[0].daemon
        with Stream(one, two) as stream:
            stream.wait_flowing()
            stream.mark()
            self.stage.command("kill", "-9", str(daemon.pid))
            daemon.kill()
            self.stage.say(f"started again; ready after {daemon.up():.2f} s")
            stream.wait_flowing()
            self._accept("the stream's longest gap", stream.longest_gap_ms)
            report = stream.stop()
        if not report.whole:
            raise Failed(f"the stream did not come whole and in order: {report}")
        self.stage.say(f"{report.received_bytes / 1e6:,.0f} MB went through meanwhile, whole and in order")

    def delete_device(self) -> None:
        """The device takes its address, neighbours, forwarding entries and routes with it; all must come back."""
        host = self.lab.hosts[1]
        one, two = self.lab.containers[:2]
        before = _overlay(host)
        with Probe(one, two) as probe:
            probe.wait_flowing()
            probe.mark()
            self.stage.command("ip", "link", "delete", "flannel.1", f"  # on {host.name}")
            host.ip("link delete flannel.1")
            took = wait_until(
                lambda: _overlay(host) == before, "flannel.1 and all on it are back", deadline=15
            )
            probe.wait_flowing()
            gap = probe.longest_gap_ms
            report = probe.stop()
        self.stage.say(f"device, address, {len(before) - 1} routes back after {took * 1000:.0f} ms")
        self._accept(f"the probe's longest gap ({report.lost} of {report.sent} datagrams lost)", gap)

    def find_by_name(self) -> None:
        """A lab of its own, as hosts with Docker are built otherwise."""
        named.show(self.stage)

    def operator(self, host: Host, *words: str) -> str:
        """Run flanpyctl on a host and return its output."""
        self.stage.command("flanpyctl", *words)
        return host.run(*flanpyctl(), *words).stdout

    def _accept(self, what: str, milliseconds: float) -> None:
        self.stage.say(f"{what}: {milliseconds:.0f} ms")
        if milliseconds > LIMIT_MS:
            raise Failed(f"{what}: {milliseconds:.0f} ms, more than {LIMIT_MS} ms")

    def show_logs(self) -> None:
        """The end of every daemon's log: where to look when a step failed."""
        for host in getattr(self.lab, "hosts", ()):
            if host.daemon.starts:
                self.stage.say(
                    f"--- {host.daemon.log} (last {LOG_LINES} lines)\n{host.daemon.log_tail(LOG_LINES)}"
                )

    def show_around(self) -> None:
        """Print commands to try while the lab is up."""
        run = f"{_shown(Path(sys.executable))} -m integration"
        inside = f"{run} exec --lab {self.lab.number}"
        host, containers = self.lab.hosts[0], self.lab.containers
        print(f"Lab {self.lab.number} is left up. Look around:")
        for line in (
            f"{inside} {host.name} flanpyctl subnets",
            f"{inside} {host.name} flanpyctl status",
            *(f"{inside} {one.name} ping -c3 {other.address}" for one, other in _pairs(containers)[:1]),
            f"ip -n {host.namespace} route",
            f"bridge -n {host.namespace} fdb show dev flannel.1",
            f"tail -f {host.daemon.log}",
        ):
            print(f"  {line}")
        print(f"Take it down:\n  make lab-down   # or {run} down {self.lab.number}")


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _pairs(containers: list[Container]) -> list[tuple[Container, Container]]:
    return [(one, other) for one in containers for other in containers if one is not other]


def _cell(result: PingResult | None) -> str:
    if result is None:
        return "-"
    return f"{result.rtt:.2f}" if result.ok and result.rtt is not None else "lost"


def _overlay(host: Host) -> tuple[str, ...]:
    """The VXLAN device with its MAC, and the routes over it; empty while there is no device."""
    links = [link for link in host.ip_json("link", "show") if link["ifname"] == "flannel.1"]
    routes = sorted(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
    return (links[0]["address"], *routes) if links else ()


def run_demo(lab: Lab, *, keep: bool) -> int:
    """The whole tour on a lab not built yet; the exit code. With `keep` the lab stays up, also after a failure."""
    demo = Demo(lab)
    try:
        demo.run()
    except (LabError, Failed) as failure:
        demo.stage.fail(str(failure))
        demo.show_logs()
        return 1
    except KeyboardInterrupt:
        print("interrupted: cleaning up")
        return 130
    else:
        demo.stage.close(f"All {len(demo.steps)} steps came out as they must.")
        return 0
    finally:
        if keep and demo.lab.is_up:
            demo.show_around()
            demo.lab.keep()
        demo.lab.close()
