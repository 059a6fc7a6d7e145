"""Owns a lab whose hosts boot systemd: the Lab of integration.lab, and what its hosts stand on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integration.hosts.lab import Lab
from integration.hosts.systemd.host import SystemdHost
from integration.net.namespaces import run
from integration.net.topology import Seat

ROOTFS = Path(__file__).with_name("rootfs.sh")
BUILD_DEADLINE_S = 900.0


@functools.cache
def rootfs(suite: str = "", also: tuple[str, ...] = ()) -> Path:
    """The root file system, built when there is none (a minute); `suite` names another Debian than the machine's, or an
    Ubuntu, `also` packages that the others have not."""
    wanted = {"DEBIAN_SUITE": suite} if suite else {}
    if also:
        wanted["ROOTFS_ALSO"] = ",".join(also)
    return Path(run(["sh", str(ROOTFS)], timeout=BUILD_DEADLINE_S, env=wanted).stdout.strip())


class SystemdLab(Lab):
    """Hosts that are off; `layers` are trees of files laid over the root file system, the topmost first, which is of
    the system named `suite` with the packages `also`."""

    hosts: tuple[SystemdHost, ...]

    def __init__(
        self,
        hosts: int = 2,
        *,
        layers: Sequence[Path] = (),
        suite: str = "",
        also: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(hosts, **options)
        self._lower = (*layers, rootfs(suite, also))

    def _host(self, seat: Seat) -> SystemdHost:
        plain = super()._host(seat)
        return SystemdHost(plain.name, seat, plain.daemon, switch=self.plan.switch, lower=self._lower)

    @property
    def operator(self) -> str:
        """A network namespace that reaches etcd and every host: where an operator's commands run."""
        return self.etcd.members[0].namespace

    def boot(self) -> None:
        """Switch every host on and wait for all."""
        for host in self.hosts:
            host.switch_on()
        for host in self.hosts:
            host.wait_booted()
