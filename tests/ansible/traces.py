"""Owns what an installation may leave on a host: files, users, links, routes, packet filter rules, and enabled units.

Read with the host's own tools; nothing here uses flanpy's code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from integration.hosts.systemd.host import SystemdHost

# What is written all the time, or by whoever comes to look (logs, caches, dpkg's and Docker's own records).
_PASSING = (
    "/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/run", "/root", "/var/log", "/var/lib/docker", "/var/lib/containerd",
    "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/lib/systemd", "/var/cache/ldconfig",
)  # fmt: skip
_SYSTEMS = (
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock",
    "/etc/docker", "/etc/ld.so.cache", "/etc/.updated", "/var/.updated",
)  # fmt: skip
# Debian's own Python keeps compiled modules of whatever Ansible has it import.
_COMPILED = ("/usr/lib/python3",)


@dataclass(frozen=True, slots=True)
class Traces:
    """Each a set of lines, as the tools print them."""

    files: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    kernel: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()

    def __sub__(self, before: Traces) -> Traces:
        return Traces(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(self)))


def traces_of(host: SystemdHost) -> Traces:
    """Return the traces that are on the host now."""
    prune = [word for place in _PASSING for word in ("-path", place, "-o")][:-1]
    files = host.run("find", "/", "-xdev", "(", *prune, ")", "-prune", "-o", "-print").stdout.splitlines()
    return Traces(
        files=frozenset(path for path in files if path not in _SYSTEMS and not path.startswith(_COMPILED)),
        running=frozenset(
            host.run(
                "sh", "-c", "ls -d /run/flan* /run/credentials/flan* 2>/dev/null || true"
            ).stdout.splitlines()
        ),
        users=frozenset(host.run("sh", "-c", "getent passwd; getent group").stdout.splitlines()),
        kernel=frozenset(_kernel(host)),
        units=frozenset(
            line.split()[0]
            for line in host.run(
                "systemctl", "list-unit-files", "--no-legend", "--no-pager"
            ).stdout.splitlines()
            if line.strip() and not line.split()[0].endswith((".scope", ".mount"))
        ),
    )


def _kernel(host: SystemdHost) -> list[str]:
    """Links by name, routes, and every rule that bears our name or our addresses.

    Docker's own rules do so, too: docker0 keeps the range it had last.
    """
    links = [
        line.split(":")[1].strip().partition("@")[0]
        for line in host.run("ip", "-o", "link").stdout.splitlines()
    ]
    rules = host.run("sh", "-c", "nft list ruleset; iptables-legacy-save 2>/dev/null || true").stdout.lower()
    routes = [line for line in host.run("ip", "route").stdout.splitlines() if "docker0" not in line]
    return [
        *(f"link {name}" for name in links if not name.startswith("veth")),
        *(f"route {line.strip()}" for line in routes),
        *(f"rule {line.strip()}" for line in rules.splitlines() if _is_ours(line)),
    ]


def _is_ours(rule: str) -> bool:
    return "flanpy" in rule or ("10.50." in rule and "docker0" not in rule)
