"""S2: a flanpy host is still a normal Docker host. The same probes before flanpy came and with it, same outcomes."""

from __future__ import annotations

import pytest

from integration.hosts.engines import FETCHED, SYSTEM
from tests.engines.conftest import BuildDockerLab
from tests.engines.normal_host import NormalHost
from tests.engines.outside import REFUSED, SILENT, serving

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

ENGINES = [
    pytest.param(SYSTEM, False, id="20.10-nft"),
    pytest.param(SYSTEM, True, id="20.10-legacy"),
    *(pytest.param(version, False, id=version, marks=pytest.mark.more_engines) for version in FETCHED),
]

EXPECTED = {
    "plain asks outside": "host",
    "n1a asks outside": "host",
    "in1 asks outside": SILENT,
    "outside asks -p 8080:80": "web outside",
    "outside asks -p 127.0.0.1:8082:80": REFUSED,
    "outside asks -P": "all-ports outside",
    "outside asks plain itself": SILENT,
    "alone has links": "lo",
    "n1b asks n2a": SILENT,
    "n1a pings n1b by name": "n1b on net1 answers",
    "both pings n2a by name": "n2a on net2 answers",
    "si1 asks si2": SILENT,
}
"""A few of the outcomes, so that two hosts that both do nothing do not pass."""


@pytest.mark.parametrize(("engine", "legacy"), ENGINES)
def test_s2_everything_a_docker_host_does_comes_out_the_same_with_flanpy_running(
    build_lab: BuildDockerLab, engine: str, legacy: bool
) -> None:
    lab = build_lab(3, engine=engine, legacy=legacy)
    one, two, outside = lab.hosts
    one.run(
        "sysctl", "-qw", "net.ipv4.ip_forward=0"
    )  # as on a fresh machine: Docker sets FORWARD to DROP then
    one.engine.start()
    with serving(outside) as world:
        normal = NormalHost(one, world)
        before = normal.probe()
        lab.configure()
        one.daemon.up("--ip-masq")
        two.daemon.up("--ip-masq")
        one.flanpyctl("docker", "apply", "--restart", "always")
        after = normal.probe()

    assert one.engine.docker0() == one.subnet_file.subnet
    assert {probe: before[probe] for probe in EXPECTED} == EXPECTED
    assert after == before
