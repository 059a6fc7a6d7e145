"""The address of one server that the store is read from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from flanpy.model.address import bracketed


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member's client address. `host` carries no brackets."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        """Return the endpoint as a URL, without anything secret."""
        return f"{'https' if self.tls else 'http'}://{bracketed(self.host)}:{self.port}"

    @property
    def target(self) -> str:
        """Return the endpoint as a gRPC target name (grpc/doc/naming.md)."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return f"dns:///{self.host}:{self.port}"
        return f"ipv4:{self.host}:{self.port}" if address.version == 4 else f"ipv6:[{self.host}]:{self.port}"
