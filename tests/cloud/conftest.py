"""Emulated providers on loopback, one process each for all tests of a module; no client knows of any other address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

import botocore.session
import pytest

from flanpy.model.cloud import CloudRecord, CloudStatus
from integration.cloud.aws_side import AwsSide

NETWORK = IPv4Network("10.50.0.0/16")


def serve(module: str) -> Iterator[int]:
    """Run an emulated provider; gives its port."""
    with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def aws_port() -> Iterator[int]:
    yield from serve("integration.cloud.aws_end")


@pytest.fixture(scope="module")
def sdk() -> botocore.session.Session:
    """One for all clients of a module, which reads the API's model once."""
    return botocore.session.get_session()


@pytest.fixture
def aws(aws_port: int, sdk: botocore.session.Session, monkeypatch: pytest.MonkeyPatch) -> AwsSide:
    """A VPC of its own with one host, 10.99.1.1, whose metadata is below /h1."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("botocore.session.get_session", lambda: sdk)
    side = AwsSide(("127.0.0.1", aws_port))
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", side.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{aws_port}/h1")
    side.fail()
    return side


class Registry:
    """Implements `cloud.port.Registry` in memory; `leased` are the subnets that etcd has leases for."""

    def __init__(self) -> None:
        self.kept: dict[IPv4Network, CloudRecord] = {}
        self.leased: set[IPv4Network] = set()
        self.claims: set[IPv4Network] = set()

    async def records(self) -> MappingProxyType[IPv4Network, CloudRecord]:
        return MappingProxyType(dict(self.kept))

    async def write(self, subnet: IPv4Network, record: CloudRecord) -> None:
        self.kept[subnet] = record

    async def remove(self, subnet: IPv4Network) -> None:
        self.kept.pop(subnet, None)

    async def claimed(self, subnet: IPv4Network) -> bool:
        return subnet in self.claims

    async def claim(self, subnet: IPv4Network) -> bool:
        if subnet in self.leased | self.claims:
            return False
        self.claims.add(subnet)
        return True

    async def release(self, subnet: IPv4Network) -> None:
        self.claims.discard(subnet)


ADDRESS = IPv4Address("10.99.1.1")
Statuses = list[CloudStatus]
