"""The steps of the package's tests on a host: install it, give it an etcd, switch it on, and look at what is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from integration.hosts.systemd.host import SystemdHost
from integration.lab import Container, wait_until

KEPT = "/var/lib/flanpy-purge"


def bring(host: SystemdHost, package: Path) -> str:
    """The package, put on the host: its path there."""
    shutil.copy(package, host.path("/root") / package.name)
    return f"/root/{package.name}"


def dpkg(host: SystemdHost, *words: str) -> str:
    """dpkg has no network here, and needs none. The disk's caches need not be written out: the host is gone soon."""
    return host.run("dpkg", "--force-unsafe-io", *words, timeout=240.0).stdout


def install(host: SystemdHost, package: Path) -> None:
    dpkg(host, "--force-confold", "-i", bring(host, package))


def version_on(host: SystemdHost) -> str:
    """The version that is installed, '' if none is."""
    asked = host.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "flanpy", check=False)
    status, _, version = asked.stdout.partition(" ")
    return version if status == "installed" else ""


def switch_on(host: SystemdHost, endpoints: str) -> None:
    """Follow the tutorial: name the etcd, enable and start."""
    host.write("/etc/default/flanpyd", f"FLANPYD_ETCD_ENDPOINTS={endpoints}\n")
    host.run("systemctl", "enable", "flanpyd.service")
    host.run("systemctl", "restart", "flanpyd.service", timeout=150.0)
    wait_ready(host)


def wait_ready(host: SystemdHost) -> None:
    """The control socket comes a moment after systemd was told."""
    wait_until(lambda: ready(host), f"{host.name}: flanpyd is ready", deadline=30.0, poll=0.2)


def ready(host: SystemdHost) -> bool:
    return host.run("flanpyctl", "status", check=False).returncode == 0


def end(host: SystemdHost) -> Container:
    """The host's own end of the overlay, where traffic can begin and end as in a container."""
    own = json.loads(host.run("flanpyctl", "status", "-o", "json").stdout)["own"]
    address = own["subnet"].partition("/")[0]
    return Container(host.name, host.name, host.namespace, "flannel.1", address, 1450)


def traces(host: SystemdHost) -> list[str]:
    """Return everything of flanpy on the host: files, links, rules, its user."""
    found = host.run(
        "sh", "-c",
        "find / -xdev \\( -path /proc -o -path /root -o -path /sys \\) -prune -o -iname '*flanpy*' -print;"
        "ip -o link show type vxlan; ip route show proto 70; nft list tables | grep -i flanpy;"
        "iptables-save | grep -i flanpy; getent passwd flanpy; getent group flanpy",
        check=False,
    ).stdout  # fmt: skip
    return found.splitlines()
