"""Part `path`: container to container over VXLAN, against the bare underlay between the same two hosts."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, figure, paired_ratios
from bench.inside import path_end
from bench.run import Run, alternated
from integration.lab import Lab, LabError
from integration.net.namespaces import enter_argv, run_in

_ports = itertools.count(30_000)
_TIME = re.compile(r"time=([\d.]+) ms")
_NOTE = (
    "Underlay: between the two hosts' own eth0, over the lab's switch. Overlay: between a container on each, so with "
    "two veths, two bridges and routing besides VXLAN. Both ends share this machine's cores. The same tool in turn: a "
    "plain TCP sender with 256 KiB writes; UDP datagrams of 64 bytes payload, 64 a call, counted where they arrive."
)


@dataclass(frozen=True, slots=True)
class Line:
    """From one namespace to an address in another.

    Where ports are forwarded, the receiver listens on `heard_at` instead, and the port has to be `port`.
    """

    source: str
    target: str
    address: str
    heard_at: str = ""
    port: int = 0

    def rate(self, protocol: str, seconds: float) -> float:
        """Bytes or datagrams a second."""
        words = [
            protocol,
            "receive",
            self.heard_at or self.address,
            str(self.port or next(_ports)),
            str(seconds),
        ]
        with _end(self.target, words) as receiver:
            assert receiver.stdout is not None
            if receiver.stdout.readline().strip() != "listening":
                raise LabError(f"no receiver in {self.target}: {receiver.communicate()[1]}")
            words[1:3] = "send", self.address
            with _end(self.source, words) as sender:
                said, trouble = receiver.communicate(timeout=seconds + 30)
                sender.wait(timeout=30)
        if not said:
            raise LabError(f"no report from {self.target}: {trouble}")
        return float(json.loads(said)["per_second"])

    def paced(self, rate: float, seconds: float) -> tuple[float, float]:
        """64-byte datagrams sent a second, which is less than asked where the sender can't, and the share lost."""
        words = ["paced", "receive", self.address, str(next(_ports)), str(seconds), str(rate)]
        with _end(self.target, words) as receiver:
            assert receiver.stdout is not None
            if receiver.stdout.readline().strip() != "listening":
                raise LabError(f"no receiver in {self.target}: {receiver.communicate()[1]}")
            words[1] = "send"
            with _end(self.source, words) as sender:
                sent = json.loads(sender.communicate(timeout=seconds + 30)[0])["count"]
            got = json.loads(receiver.communicate(timeout=60)[0])["count"]
        return sent / seconds, 1.0 - got / sent

    def ping(self, count: int) -> float:
        """Median round trip in ms."""
        argv = ["ping", "-n", "-c", str(count), "-i", "0.005", "-W", "1", self.address]
        times = _TIME.findall(run_in(self.source, argv, timeout=60).stdout)
        return statistics.median(map(float, times))


def _end(namespace: str, words: list[str]) -> subprocess.Popen[str]:
    script = str(Path(path_end.__file__))
    return subprocess.Popen(
        [*enter_argv(namespace), sys.executable, "-I", "-S", script, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def measure(run: Run) -> Iterable[Figure]:
    with Lab(hosts=2) as lab:
        lab.configure()
        lab.start_daemons(deadline=60)
        one, other = lab.attach_containers()
        first, second = lab.hosts
        underlay = Line(first.namespace, second.namespace, second.address)
        overlay = Line(one.namespace, other.namespace, other.address)
        overlay.ping(20)
        turns, seconds = run.pick(9, 2), run.pick(2.0, 1.0)
        for slug, text, unit, take in (
            ("tcp", "TCP throughput", "Gbit/s", lambda line: line.rate("tcp", seconds) * 8e-9),
            ("udp", "UDP, 64-byte datagrams", "k/s", lambda line: line.rate("udp", seconds) / 1e3),
            ("ping", "ping", "ms", lambda line: line.ping(200)),
        ):
            yield from _compared(run, turns, slug, (text, unit), take, underlay, overlay)
        run.say("path: the same with the device's checksum offload off")
        for host in lab.hosts:
            host.daemon.kill()
        lab.start_daemons("--vxlan-tx-checksum=off", deadline=60)
        _, software = alternated(
            run.turns("path: TCP throughput, underlay and overlay in turn", turns),
            lambda: underlay.rate("tcp", seconds),
            lambda: overlay.rate("tcp", seconds) * 8e-9,
        )
        yield figure(
            "path.tcp.software", "TCP throughput, overlay with vxlan-tx-checksum = off", "Gbit/s", software,
            note="By default the VXLAN device leaves checksums to the network card, as flannel's does. With the "
            "offload off the kernel makes them, and cuts TCP into packets before the device.",
        )  # fmt: skip


def _compared(
    run: Run,
    turns: int,
    slug: str,
    said: tuple[str, str],
    take: Callable[[Line], float],
    underlay: Line,
    overlay: Line,
) -> Iterable[Figure]:
    text, unit = said
    bare, over = alternated(
        run.turns(f"path: {text}, underlay and overlay in turn", turns),
        lambda: take(underlay),
        lambda: take(overlay),
    )
    yield figure(f"path.{slug}.overlay", f"{text}, container to container", unit, over, note=_NOTE)
    yield figure(f"path.{slug}.underlay", f"{text}, host to host, no overlay", unit, bare)
    yield figure(f"path.{slug}.ratio", "  overlay / underlay", "x", paired_ratios(over, bare))
