"""Emulated providers in a lab: each runs in the router's namespace, whose kernel routes follow its table."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, TypeVar

from integration.cloud.aws_side import AwsSide
from integration.cloud.gce_side import GceSide
from integration.lab import Host, Lab, LabError, wait_until
from integration.net.child import Child
from integration.net.namespaces import in_namespace
from integration.net.topology import ROUTER, gateway_of

T = TypeVar("T")


class Side(Protocol):
    """The test's side of any provider. A target is what a route to a host leads to."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what no log may show."""

    def add_host(self, address: str, *, called: str) -> str: ...
    def fail(self, **faults: object) -> None: ...
    def calls(self) -> Mapping[str, int]: ...
    def routes(self) -> Mapping[str, str]: ...
    def put(self, destination: str, target: str) -> None: ...
    def delete(self, destination: str) -> None: ...
    def may_forward(self, target: str, *, allowed: bool) -> None: ...


class Provider:
    """A provider for every host of a lab with more than one segment; `targets` are the hosts', by name."""

    backend: ClassVar[str]
    module: ClassVar[str]
    port: ClassVar[int]

    def __init__(self, lab: Lab) -> None:
        self._namespace = lab.plan.prefix + ROUTER
        self.where = (gateway_of(1), self.port)
        self._server = Child(self.backend, self._namespace, log=lab.directory / f"{self.backend}.log")
        argv = [
            sys.executable,
            "-m",
            self.module,
            f"--listen={self.where[0]}",
            f"--port={self.port}",
            "--mirror",
        ]
        self._server.start(argv)
        wait_until(
            lambda: in_namespace(self._namespace, self._answers), f"{self.backend} answers", deadline=30
        )
        self.side: Side = in_namespace(self._namespace, self.new_side)
        self.targets = {
            host.name: in_namespace(self._namespace, lambda host=host: self._add(host))  # type: ignore[misc]
            for host in lab.hosts
        }

    def new_side(self) -> Side:
        """The test's side; called in the router's namespace."""
        raise NotImplementedError

    def _add(self, host: Host) -> str:
        return self.side.add_host(host.address, called=host.name)

    def _answers(self) -> bool:
        if not self._server.running:
            raise LabError(self._server.log_tail())
        try:
            socket.create_connection(self.where, timeout=1).close()
        except OSError:
            return False
        return True

    def freeze(self) -> None:
        """Stop the provider's API as it stands; its routes stay, and it takes no time of this machine's any more."""
        self._server.freeze()

    def thaw(self) -> None:
        """Have it go on."""
        self._server.thaw()

    def do(self, work: Callable[[Side], T]) -> T:
        """Ask or tell the provider, from the router's namespace."""
        return in_namespace(self._namespace, lambda: work(self.side))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that a host needs to find this provider and no other."""
        raise NotImplementedError

    def start(self, *hosts: Host, interval: float = 1.0, env: Mapping[str, str] | None = None) -> None:
        """Start daemons that find it; `env` is added to theirs. Waits for all."""
        env = {**self.environment, **(env or {}), "NO_PROXY": "*"}
        for host in hosts:
            host.daemon.launch(f"--cloud-interval={interval:g}s", env=env)
        for host in hosts:
            host.daemon.wait_ready(deadline=30)


class LabAws(Provider):
    """AWS."""

    backend, module, port = "aws-vpc", "integration.cloud.aws_end", 5000
    aws: AwsSide

    def new_side(self) -> Side:
        self.aws = AwsSide(self.where)
        return self.aws

    def _add(self, host: Host) -> str:
        return self.aws.add_host(host.address)

    @property
    def environment(self) -> dict[str, str]:
        endpoint = f"http://{self.where[0]}:{self.where[1]}"
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
            "AWS_ENDPOINT_URL_EC2": endpoint,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }


class LabGce(Provider):
    """Compute Engine."""

    backend, module, port = "gce", "integration.cloud.gce_http", 5001

    def new_side(self) -> Side:
        return GceSide(self.where)

    @property
    def environment(self) -> dict[str, str]:
        here = f"{self.where[0]}:{self.where[1]}"
        return {
            "GCE_METADATA_HOST": here,
            "GCE_METADATA_IP": here,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"http://{here}/compute/v1/",
            "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
            "CLOUDSDK_CONFIG": "/nonexistent",
        }
