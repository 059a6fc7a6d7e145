"""The daemon seen from outside as a process: what it leaves in the kernel, what it tells, what it costs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from integration.hosts.daemon import flanpyd
from integration.lab import Host
from integration.net.child import Child
from tests.lab.overlay import eventually

_TICKS = os.sysconf("SC_CLK_TCK")


def kernel_state(host: Host) -> str:
    """All that `ip` and `bridge` can say of the host's links, addresses, routes and fixed entries, letter by letter.

    Waits for the end of IPv6 duplicate address detection, which adds to them by itself.
    """
    eventually(
        lambda: not host.ip_json("-6", "address", "show", "tentative"), "addresses are still tentative"
    )
    questions = (
        ("link", "show"),
        ("address", "show"),
        ("-4", "route", "show", "table", "all"),
        ("-6", "route", "show", "table", "all"),
        ("neigh", "show", "nud", "permanent"),
        ("rule", "show"),
    )
    said: list[Any] = [host.ip_json("-d", *question) for question in questions]
    said.append(host.bridge_json("-d", "fdb", "show"))
    return json.dumps(_without_timers(said), indent=1)


def _without_timers(value: Any) -> Any:
    """A bridge's timers run by themselves."""
    if isinstance(value, dict):
        return {key: _without_timers(item) for key, item in value.items() if not key.endswith("_timer")}
    return [_without_timers(item) for item in value] if isinstance(value, list) else value


@contextmanager
def watching_kernel(host: Host) -> Iterator[Child]:
    """`ip monitor` on the host; read `overlay_events` of it."""
    watcher = host.child("monitor")
    watcher.start(["ip", "monitor", "link", "address", "route", "neigh"])
    try:
        eventually(lambda: _hears(watcher, host), "ip monitor hears nothing")
        yield watcher
    finally:
        watcher.kill()


def _hears(watcher: Child, host: Host) -> bool:
    mark = "192.0.2.250"
    host.ip(f"route add blackhole {mark} proto boot", f"route del blackhole {mark} proto boot")
    return mark in watcher.log_text()


def overlay_events(watcher: Child) -> list[str]:
    """Return the kernel's notices of objects that are flanpyd's; not of multicast neighbours, which the kernel
    collects by itself."""
    lines = [line for line in watcher.log_text().splitlines() if "NOARP" not in line]
    return [line for line in lines if "flannel" in line or "proto 70" in line]


@contextmanager
def stopped(host: Host) -> Iterator[Host]:
    """A host whose daemon is stopped, and runs again as usual afterwards."""
    host.daemon.kill()
    try:
        yield host
    finally:
        host.daemon.kill()
        host.daemon.up()


class Manager:
    """The service manager's end of sd_notify: a datagram socket and what came by it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._path.unlink()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self._path)}

    def listen(self) -> list[str]:
        """Return all notices so far, a datagram each."""
        while True:
            try:
                self.heard.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return self.heard

    def count(self, word: str) -> int:
        """Return the number of datagrams that have this line."""
        return sum(word in one.splitlines() for one in self.listen())


def http(path: Path, request: bytes, *, timeout: float = 5.0) -> bytes:
    """Send raw bytes to a unix socket, and take all that comes back until it is closed or quiet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        sock.sendall(request)
        answer = b""
        try:
            while more := sock.recv(65536):
                answer += more
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def get(path: Path, resource: str) -> tuple[int, Any]:
    """GET from the control socket: (status, JSON)."""
    answer = http(path, f"GET {resource} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def wakeups(pid: int) -> int:
    """Return how often the threads of a process gave up the CPU by themselves, so far."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def run_flanpyd(
    host: Host, *flags: str, env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run flanpyd on the host to its end, as a person at a terminal would, with stdout and stderr apart."""
    daemon = host.daemon
    argv = ["nsenter", f"--net=/run/netns/{host.namespace}", "--", *before, *flanpyd().argv]
    started = subprocess.Popen(
        [*argv, *daemon.flags, *flags],
        env={**os.environ, **daemon.environment, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = started.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        out, err = started.communicate()
        raise AssertionError(f"flanpyd goes on running: {out}{err}") from None
    return subprocess.CompletedProcess(argv, started.returncode, out, err)
