"""A Docker that makes no bridge before its host forwards, as 29 with its nftables backend at boot (F16)."""

from __future__ import annotations

import pytest

from integration.net.namespaces import set_sysctls, sysctl
from tests.engines.conftest import BuildDockerLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

FORWARD = "net/ipv4/ip_forward"


@pytest.mark.parametrize("settings", [{"firewall-backend": "nftables"}, {}])
def test_f16_host_forwards_before_there_is_a_bridge_where_docker_waits_for_that(
    settings: dict[str, str], build_lab: BuildDockerLab
) -> None:
    lab = build_lab(1)
    (host,) = lab.hosts
    host.engine.configure(settings)
    set_sysctls(host.namespace, {FORWARD: "0"})
    lab.configure()
    lab.start_daemons()
    waits = bool(settings)
    if waits:
        eventually(lambda: sysctl(host.namespace, FORWARD) == "1", "the host forwards")
    assert not host.run("ip", "-br", "link", "show", "type", "bridge").stdout
    assert sysctl(host.namespace, FORWARD) == ("1" if waits else "0")
    if not waits:
        host.engine.start()
        eventually(lambda: sysctl(host.namespace, FORWARD) == "1", "Docker turned it on itself")
