"""A lab of three hosts in three networks, whose router follows two emulated providers; flannel ran on it before."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from integration.cloud.lab_side import LabAws, LabGce, Provider
from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, StreamReport, flanpyctl, unreached
from tests.lab.backend_side import condition, moving_from
from tests.lab.overlay import eventually

FLANNELS = {"h1": "10.50.77.0/24", "h2": "10.50.78.0/24", "h3": "10.50.79.0/24"}
DENIED = {
    "aws-vpc": ("CreateRoute", "ec2:CreateRoute"),
    "gce": ("compute.routes.create", "compute.routes.create"),
}
"""A permission to take away, by the provider's name for it, and a word of the refusal."""


@dataclass(slots=True)
class Site:
    """`cloud` is the provider that flannel used, `other` one that the network may move to."""

    lab: Lab
    cloud: Provider
    other: Provider
    taken_over: StreamReport = field(init=False)
    """A stream from container to container while flannel's hosts became flanpy's."""
    before: dict[str, int] = field(init=False)

    @classmethod
    def build(cls, lab: Lab, backend: str) -> Site:
        """Have flannel's hosts carry packets, then start flanpyd on all of them under a stream."""
        lab.configure({"Network": NETWORK, "Backend": {"Type": backend}})
        providers: dict[str, Provider] = {one.backend: one(lab) for one in (LabAws, LabGce)}
        site = cls(lab, providers.pop(backend), providers.popitem()[1])
        for host in lab.hosts:
            site._as_flannel_left_it(host)
        lab.attach_containers()
        one, two, _ = lab.hosts
        site.before = dict(site.cloud.do(lambda side: side.calls()))
        with Stream(one.containers[0], two.containers[0]) as stream:
            stream.wait_flowing()
            site.start(*lab.hosts)
            site.settled()
            site.taken_over = stream.stop()
        return site

    def _as_flannel_left_it(self, host: Host) -> None:
        """Leave the lease of a flannel host (v0.19.2 writes no BackendType), its file, and the route that it made."""
        subnet, api = FLANNELS[host.name], self.lab.etcd.api
        value = {"PublicIP": host.address, "PublicIPv6": None}
        key = f"{ETCD_PREFIX}/subnets/{subnet.replace('/', '-')}"
        api.put(key, json.dumps(value), lease=api.grant(86_400))
        address = subnet.replace(".0/24", ".1/24")
        host.daemon.subnet_path.write_text(
            f"FLANNEL_NETWORK={NETWORK}\nFLANNEL_SUBNET={address}\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n"
        )
        self.cloud.do(lambda side: side.put(subnet, self.cloud.targets[host.name]))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of daemons and commands here."""
        return {
            **self.cloud.environment,
            **self.other.environment,
            "FLANPYD_LOG_LEVEL": "debug",
            "NO_PROXY": "*",
        }

    def start(self, *hosts: Host) -> None:
        self.cloud.start(*hosts, env=self.environment)

    def ctl(self, host: Host, *arguments: str, code: int = 0) -> str:
        """Run flanpyctl as on that host."""
        words = ["env", *(f"{name}={value}" for name, value in self.environment.items())]
        said = host.run(*words, *flanpyctl(), *arguments, check=False)
        assert said.returncode == code, said
        return said.stdout + said.stderr

    def routes(self, provider: Provider | None = None) -> dict[str, str]:
        return dict((provider or self.cloud).do(lambda side: side.routes()))

    def wanted(self, provider: Provider | None = None) -> dict[str, str]:
        targets = (provider or self.cloud).targets
        return {str(host.subnet_file.subnet.network): targets[host.name] for host in self.lab.hosts}

    def fail(self, **faults: Any) -> None:
        self.cloud.do(lambda side: side.fail(**faults))

    def may_forward(self, host: Host, *, allowed: bool) -> None:
        """Set what the provider lets the host do: AWS's check with the permission to switch it off, canIpForward."""
        deny = [] if allowed or self.cloud.backend == "gce" else ["ModifyNetworkInterfaceAttribute"]
        self.fail(deny=deny)
        self.cloud.do(lambda side: side.may_forward(self.cloud.targets[host.name], allowed=allowed))

    def settled(self) -> None:
        """Wait until every host's route stands and all containers reach each other."""
        self.fail()
        eventually(
            lambda: self.routes() == self.wanted(), lambda: (self.routes(), self.wanted()), deadline=20
        )
        for host in self.lab.hosts:
            eventually(
                lambda host=host: condition(host, "CloudRoutes")["reason"] == "Standing",  # type: ignore[misc]
                lambda host=host: condition(host, "CloudRoutes"),  # type: ignore[misc]
                deadline=20,
            )
        eventually(
            lambda: unreached(self.lab.containers) == (), lambda: unreached(self.lab.containers), deadline=10
        )

    def set_backend(self, backend: str) -> None:
        config = json.dumps({"Network": NETWORK, "Backend": {"Type": backend}})
        self.lab.hosts[0].run(*flanpyctl(), "network", "set", "-", stdin=config)

    def move(self, backend: str) -> None:
        """Change the network's backend, and wait until every host has arrived."""
        self.set_backend(backend)
        eventually(lambda: self._said() == {backend}, self._said, deadline=30)
        for host in self.lab.hosts:
            eventually(lambda host=host: moving_from(host) is None, f"{host.name} has arrived", deadline=30)  # type: ignore[misc]

    def _said(self) -> set[str]:
        return {
            json.loads(one.value)["BackendType"] for one in self.lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")
        }
