"""Writes down what real engines put into the packet filter: `python -m integration.hosts.engines.capture DIRECTORY`.

For replicas in tests, and to see what a new engine does differently. Needs the engines of `make engines`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.hosts.engines.engine import Engine
from integration.hosts.engines.lab import DockerLab
from integration.hosts.engines.releases import FETCHED, SYSTEM

NETWORK_MODE = ("-o", "com.docker.network.bridge.name=flanpy0", "-o", "com.docker.network.driver.mtu=1450",
                "-o", "com.docker.network.bridge.enable_ip_masquerade=false")  # fmt: skip
UNPROTECTED = ("-o", "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected")


@dataclass(frozen=True, slots=True)
class Case:
    """One engine with one set of settings."""

    version: str
    mode: str
    legacy: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"docker-{self.version}-{'legacy' if self.legacy else 'nft'}-{self.mode}"


CASES = (
    *(
        Case(version, mode, legacy)
        for version in (SYSTEM, *FETCHED)
        for mode in ("bip-mode", "network-mode")
        for legacy in (False, True)
    ),
    *(Case(version, "bip-mode-no-masq", settings={"ip-masq": False}) for version in (SYSTEM, "28.5")),
    Case(SYSTEM, "bip-mode-no-icc", settings={"icc": False}),
    Case("28.5", "bip-mode-direct-routing", settings={"allow-direct-routing": True}),
)


def capture(case: Case, directory: Path) -> None:
    """Write the rule sets of one case."""
    with DockerLab(1, engine=case.version, legacy=case.legacy) as lab:
        host = lab.hosts[0]
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")  # as on a fresh machine: FORWARD becomes DROP
        host.engine.start(bip="10.50.7.1/24", mtu=1450, daemon_json=case.settings)
        _fill(host.engine, case)
        saved = host.run("iptables-save").stdout.splitlines()
        text = "".join(f"{line}\n" for line in saved if not line.startswith("#"))
        (directory / f"{case.name}.iptables").write_text(text)
        if not case.legacy:
            listed = host.run("nft", "list", "ruleset").stdout.splitlines()
            text = "".join(f"{line}\n" for line in listed if not line.startswith("# Warning"))
            (directory / f"{case.name}.nft").write_text(text)


def _fill(engine: Engine, case: Case) -> None:
    if case.mode == "network-mode":
        options = (*NETWORK_MODE, *(UNPROTECTED if case.version == "28.5" else ()))
        ranges = ("--subnet", "10.50.8.0/24", "--gateway", "10.50.8.1")
        engine.docker("network", "create", *ranges, *options, "flanpy")
        engine.run_container("over", "--net", "flanpy", "-p", "8090:80")
    ranges = ("--subnet", "172.30.0.0/24", "-o", "com.docker.network.bridge.name=br-user")
    engine.docker("network", "create", *ranges, "user")
    engine.run_container("web", "-p", "8080:80", "-p", "127.0.0.1:8081:81/udp")
    engine.run_container("plain")
    engine.run_container("named", "--net", "user", "-p", "8082:80")


def main() -> None:
    """All cases into the directory named on the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        capture(case, directory)
        print(case.name)


if __name__ == "__main__":
    main()
