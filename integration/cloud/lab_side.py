"""An emulated provider in a lab: it runs in the router's namespace, whose kernel routes follow its table."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TypeVar

from integration.cloud.aws_side import AwsSide
from integration.lab import Host, Lab, LabError, wait_until
from integration.net.child import Child
from integration.net.namespaces import in_namespace
from integration.net.topology import ROUTER, gateway_of

T = TypeVar("T")
PORT = 5000


class LabAws:
    """AWS for every host of a lab with more than one segment; `interfaces` are the hosts', by name."""

    def __init__(self, lab: Lab) -> None:
        self._namespace = lab.plan.prefix + ROUTER
        self._where = (gateway_of(1), PORT)
        self._server = Child("aws", self._namespace, log=lab.directory / "aws.log")
        self._server.start(
            [
                sys.executable,
                "-m",
                "integration.cloud.aws_end",
                f"--listen={self._where[0]}",
                f"--port={PORT}",
                "--mirror",
            ]
        )
        wait_until(lambda: in_namespace(self._namespace, self._answers), "AWS answers", deadline=30)
        self._side = in_namespace(self._namespace, lambda: AwsSide(self._where))
        self.interfaces = {
            host.name: self.do(lambda aws, host=host: aws.add_host(host.address))  # type: ignore[misc]
            for host in lab.hosts
        }

    def _answers(self) -> bool:
        if not self._server.running:
            raise LabError(self._server.log_tail())
        try:
            socket.create_connection(self._where, timeout=1).close()
        except OSError:
            return False
        return True

    def freeze(self) -> None:
        """Stop the provider's API as it stands; its routes stay, and it takes no time of this machine's any more."""
        self._server.freeze()

    def do(self, work: Callable[[AwsSide], T]) -> T:
        """Ask or tell the provider, from the router's namespace."""
        return in_namespace(self._namespace, lambda: work(self._side))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the SDK on a host needs to find this provider and no other."""
        endpoint = f"http://{self._where[0]}:{self._where[1]}"
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
            "AWS_ENDPOINT_URL_EC2": endpoint,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "NO_PROXY": "*",
        }

    def start(self, *hosts: Host, interval: float = 1.0) -> None:
        """Start daemons that find it, and wait for all."""
        for host in hosts:
            host.daemon.launch(f"--cloud-interval={interval:g}s", env=self.environment)
        for host in hosts:
            host.daemon.wait_ready(deadline=30)
