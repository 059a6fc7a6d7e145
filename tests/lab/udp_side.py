"""The udp backend seen from outside: which processes and filters carry packets, and what they counted."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from integration.lab import Host, flanpyctl
from tests.lab.overlay import metric

MODULE = "flanpy.udp.forwarder"


def forwarders(host: Host) -> list[int]:
    """Pids of the user-space plane's processes of this host, parents before children."""
    return sorted(
        pid
        for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*"))
        if MODULE in _words(pid) and _namespace(pid) == _namespace_of(host)
    )


def signal_forwarders(host: Host, number: signal.Signals) -> None:
    """Send all of them a signal."""
    for pid in forwarders(host):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def filters(host: Host) -> dict[str, list[str]]:
    """The names of eBPF filters by link and direction, such as `eth0 ingress`."""
    found = {}
    for link in host.ip_json("link", "show"):
        for direction in ("ingress", "egress"):
            shown = host.run("tc", "filter", "show", "dev", link["ifname"], direction, check=False).stdout
            names = re.findall(r"^filter .* handle \S+ (\S+) direct-action", shown, re.MULTILINE)
            if names:
                found[f"{link['ifname']} {direction}"] = names
    return found


def data_plane(host: Host) -> str:
    """Return what carries the packets, by `flanpyctl status`."""
    said: dict[str, Any] = json.loads(host.run(*flanpyctl(), "status", "-o", "json", check=False).stdout)
    return str(said["backend"]["data_plane"])


def carried(host: Host, plane: str) -> float:
    """Packets that a plane has sent."""
    return metric(host, "flanpy_udp_packets_total", plane=plane, direction="tx")


def dropped(host: Host, reason: str) -> float:
    """Packets that were dropped for a reason, by either plane."""
    return sum(
        metric(host, "flanpy_udp_dropped_packets_total", plane=plane, reason=reason)
        for plane in ("kernel", "user")
    )


def starts(host: Host) -> float:
    """Return the number of starts of the user-space process."""
    return metric(host, "flanpy_udp_plane_starts_total", plane="user")


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _namespace(pid: int) -> tuple[int, int] | None:
    with suppress(OSError):
        found = Path(f"/proc/{pid}/ns/net").stat()
        return found.st_dev, found.st_ino
    return None


def _namespace_of(host: Host) -> tuple[int, int]:
    found = Path("/run/netns", host.namespace).stat()
    return found.st_dev, found.st_ino
