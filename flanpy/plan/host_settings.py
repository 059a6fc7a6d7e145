"""What the host itself must be set to, whatever the backend: that it forwards."""

from __future__ import annotations

from flanpy.model.network import NetworkConfig
from flanpy.model.objects import HostSysctl

FORWARD4 = "net.ipv4.ip_forward"
FORWARD6 = "net.ipv6.conf.all.forwarding"


def host_settings(network: NetworkConfig) -> tuple[HostSysctl, ...]:
    """Forwarding on, for each family of the network. Without it containers reach nobody beyond their host."""
    settings = []
    if network.network is not None:
        settings.append(HostSysctl(FORWARD4, "1"))
    if network.network6 is not None:
        settings.append(HostSysctl(FORWARD6, "1"))
    return tuple(settings)
