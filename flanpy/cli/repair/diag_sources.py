"""The content of the archive of `flanpyctl diag`: by file name, a function that makes its text or raises."""

from __future__ import annotations

import json
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final

from flanpy import __version__
from flanpy.cli.base.host import Host
from flanpy.cli.repair.secrets import scrubbed
from flanpy.errors import ControlError, FlanpyError, HostError
from flanpy.files import atomic
from flanpy.printable import escaped
from flanpy.trace.programs import output

Make = Callable[[], str]

_LARGEST: Final = 1 << 20

_DOCUMENTS: Final = ("status", "peers", "subnets", "diff", "events", "mesh")

_PROGRAMS: Final = {
    "kernel/links.txt": ("ip", "-d", "-s", "link", "show"),
    "kernel/addresses.txt": ("ip", "address", "show"),
    "kernel/rules.txt": ("ip", "rule", "show"),
    "kernel/routes.txt": ("ip", "-4", "-d", "route", "show", "table", "all"),
    "kernel/routes6.txt": ("ip", "-6", "-d", "route", "show", "table", "all"),
    "kernel/neighbours.txt": ("ip", "-s", "neigh", "show"),
    "kernel/fdb.txt": ("bridge", "-d", "-s", "fdb", "show"),
    "kernel/bridges.txt": ("bridge", "-d", "link", "show"),
    "filter/nft.txt": ("nft", "-a", "list", "ruleset"),
    "filter/iptables.txt": ("iptables-save", "-c"),
    "filter/ip6tables.txt": ("ip6tables-save", "-c"),
    "filter/iptables-legacy.txt": ("iptables-legacy-save", "-c"),
    "journal.txt": ("journalctl", "--no-pager", "-o", "short-iso", "-n", "1000", "-u", "flanpyd"),
}

_VERSIONS: Final = (
    ("ip", "-V"),
    ("bridge", "-V"),
    ("nft", "--version"),
    ("iptables", "--version"),
    ("docker", "--version"),
    ("systemctl", "--version"),
)

_SYSCTLS: Final = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/*/forwarding",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/conf/*/arp_*",
    "net/ipv4/neigh/default/gc_*",
    "net/ipv4/neigh/flannel*/*",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/ip_no_pmtu_disc",
    "net/ipv6/conf/*/forwarding",
    "net/ipv6/conf/*/disable_ipv6",
    "net/ipv6/neigh/default/gc_*",
    "net/bridge/bridge-nf-*",
    "net/core/*mem_*",
    "net/core/netdev_*",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
)


def parts(arguments: Namespace, host: Host) -> Iterator[tuple[str, Make]]:
    """Every file, in the order in which a reader wants them."""
    for name in _DOCUMENTS:
        yield f"{name}.json", partial(_document, host, name)
    yield "config.json", partial(_config, host)
    yield "doctor.json", partial(_doctor, arguments, host)
    yield "versions.txt", _versions
    yield "sysctls.txt", _sysctls
    yield "files/subnet.env", lambda: _file(host.settings.subnet_file)
    yield "files/daemon.json", lambda: _json_file(host.settings.docker.config_file)
    for name, argv in _PROGRAMS.items():
        yield name, partial(output, argv, deadline=20.0)
    for path in ("snmp", "snmp6", "netstat", "softnet_stat", "dev"):
        yield f"kernel/{path}.txt", partial(_read, Path("/proc/net", path))


def _text(document: Any) -> str:
    return escaped(json.dumps(scrubbed(document), indent=2, ensure_ascii=False)) + "\n"


def _document(host: Host, name: str) -> str:
    return _text(host.control.get(name))


def _config(host: Host) -> str:
    try:
        return _text(host.control.get("config"))
    except ControlError:
        from flanpy.config.loading import describe

        return _text([one._asdict() for one in describe(host.settings)])


def _doctor(arguments: Namespace, host: Host) -> str:
    """Doctor's own JSON; that it found something is no failure of ours."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("flanpy.cli.repair.doctor") is None:
        raise HostError("this flanpyctl has no doctor")
    said = StringIO()
    with redirect_stdout(said):
        try:
            import_module("flanpy.cli.repair.doctor").show(
                Namespace(**{**vars(arguments), "output": "json", "fix": False}), host
            )
        except FlanpyError as error:
            if not said.getvalue():
                raise HostError(str(error)) from error
    return said.getvalue()


def _versions() -> str:
    lines = [
        f"flanpy {__version__}",
        f"python {sys.version}",
        f"kernel {platform.release()} {platform.version()} {platform.machine()}",
        f"system {_system()}",
    ]
    for argv in _VERSIONS:
        try:
            lines.append(output(argv).partition("\n")[0].strip() or f"{argv[0]} says nothing")
        except HostError as error:
            lines.append(str(error))
    return "\n".join(lines) + "\n"


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return "unknown"


def _sysctls() -> str:
    """As `sysctl -a` writes them; one that may not be read is left out."""
    root = Path("/proc/sys")
    lines = []
    for pattern in _SYSCTLS:
        for path in sorted(root.glob(pattern)):
            try:
                value = " ".join(path.read_text().split())
            except OSError:
                continue
            lines.append(f"{'.'.join(path.relative_to(root).parts)} = {value}\n")
    return "".join(lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error


def _file(path: Path) -> str:
    """Of a file that another user may have put there: a pipe is not waited for, a link of that user shows no other."""
    try:
        return atomic.read(path, _LARGEST).decode(errors="replace")
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error


def _json_file(path: Path) -> str:
    """Parsed if it can be, for then keys tell what is secret below them."""
    text = _file(path)
    try:
        return _text(json.loads(text))
    except (ValueError, RecursionError):
        return text
