"""Reads what this host's kernel and files say, beyond what a trace reads. Raises HostError; judges nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from flanpy.doctor.addresses import address
from flanpy.doctor.facts import RouteSeen
from flanpy.errors import HostError, KernelError
from flanpy.host.sysctl import SysctlFiles, sysctl_name
from flanpy.kernel.ethtool import Ethtool
from flanpy.model.address import IPAddress
from flanpy.trace.iproute import route_text
from flanpy.trace.programs import is_installed, output

CHECKSUM: Final = "tx-checksum-ip-generic"

_SYSCTLS: Final = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv6/neigh/default/gc_thresh3",
)
_OF_LINKS: Final = (
    "net/ipv4/conf/{}/forwarding",
    "net/ipv4/conf/{}/rp_filter",
    "net/ipv6/conf/{}/disable_ipv6",
)


def routes() -> tuple[RouteSeen, ...]:
    """Of both families and all tables, but for the kernel's own of this host's addresses."""
    return tuple(route for family in ("-4", "-6") for route in _routes(family))


def _routes(family: str) -> Iterator[RouteSeen]:
    argv = ("ip", "-j", "-d", family, "route", "show", "table", "all")
    try:
        rows = json.loads(output(argv) or "[]")
    except (ValueError, RecursionError) as error:
        raise HostError(f"{' '.join(argv)}: printed no JSON") from error
    for row in rows:
        if row and row.get("table") != "local" and row.get("type", "unicast") != "multicast":
            yield _route(row, family)


def _route(row: dict[str, Any], family: str) -> RouteSeen:
    text = str(row.get("dst", ""))
    everything = "0.0.0.0/0" if family == "-4" else "::/0"
    hops = row.get("nexthops") or [row]
    return RouteSeen(
        destination=ip_network(everything if text == "default" else text, strict=False),
        link=",".join(str(hop.get("dev", "")) for hop in hops),
        gateway=str(row.get("gateway") or ""),
        proto=str(row.get("protocol", "")),
        metric=int(row.get("metric") or 0),
        kind=str(row.get("type", "unicast")),
        text=route_text(row),
    )


def sysctls(links: Iterable[str]) -> dict[str, str]:
    """By their names as sysctl(8) writes them: a dot in a link's name is a slash."""
    found = {}
    for path in (*_SYSCTLS, *(pattern.format(link) for link in links for pattern in _OF_LINKS)):
        try:
            found[sysctl_name(path)] = SysctlFiles().read(path)
        except (KernelError, UnicodeDecodeError):
            continue
    return found


def checksums(links: Iterable[str]) -> dict[str, bool]:
    """Report by link whether the kernel leaves checksums of its packets to it; a link without an answer is left out."""
    with closing(Ethtool()) as ethtool:
        found = {link: ethtool.enabled(link, CHECKSUM) for link in links}
    return {link: on for link, on in found.items() if on is not None}


def nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[IPAddress, ...]:
    """Those that this host asks."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error
    words = [line.split() for line in lines if line.startswith("nameserver")]
    found = [address(line[1].partition("%")[0]) for line in words if len(line) > 1]
    return tuple(one for one in found if one is not None)


def insert_failed(path: Path = Path("/proc/net/stat/nf_conntrack")) -> int:
    """Connections that lost a race for a place in connection tracking, of all processors; 0 without tracking."""
    try:
        titles, *lines = path.read_text(encoding="ascii").splitlines()
        place = titles.split().index("insert_failed")
        return sum(int(line.split()[place], 16) for line in lines)
    except (OSError, ValueError, IndexError):
        return 0


def docker_after(systemd: Path = Path("/run/systemd/system")) -> tuple[str, ...] | None:
    """Return the units that Docker's unit is ordered after; None without systemd or such a unit."""
    if not systemd.is_dir() or not is_installed("systemctl"):
        return None
    said = output(("systemctl", "show", "docker.service", "-p", "LoadState", "-p", "After"), deadline=5.0)
    found = dict(re.findall(r"^(\w+)=(.*)$", said, re.MULTILINE))
    return tuple(found.get("After", "").split()) if found.get("LoadState") == "loaded" else None
