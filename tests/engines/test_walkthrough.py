"""S1, flannel's walk-through, by nothing but what an operator types: no flag, default paths, nothing of the lab's."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from integration.hosts.engines import DockerHost, EngineContainer
from integration.lab import Stream, etcd_binary
from tests.engines.conftest import BuildDockerLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PATH = f"{Path(sys.executable).parent}:{etcd_binary().parent}:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT_FILE = "/etc/default/flanpyd"
WITHOUT_ENVIRONMENT = ("env", "-i", f"PATH={PATH}", "HOME=/root", "sh", "-ec")
STREAMED = 2_000_000

UDP = {"Network": "172.18.0.0/16"}
BACKENDS = [
    pytest.param(UDP | {"Backend": {"Type": "vxlan"}}, 1450, id="vxlan"),
    pytest.param(UDP, 1472, id="udp"),
    pytest.param(UDP | {"Backend": {"Type": "host-gw"}}, 1500, id="host-gw"),
]


def typed(host: DockerHost, line: str) -> str:
    """A line typed at the host's shell; its output."""
    return host.run(*WITHOUT_ENVIRONMENT, line, timeout=240).stdout


def service(host: DockerHost, name: str, line: str) -> None:
    """A program that stays, as its unit would start it."""
    host.child(name).start([*host.enter_argv()[3:], *WITHOUT_ENVIRONMENT, line])


@pytest.mark.parametrize(("config", "mtu"), BACKENDS)
def test_s1_containers_of_two_hosts_reach_each_other_after_the_walk_through(
    build_lab: BuildDockerLab, config: dict[str, object], mtu: int
) -> None:
    one, two = build_lab().hosts
    etcd = f"http://{one.address}:2379"
    urls = f"--listen-client-urls http://0.0.0.0:2379 --advertise-client-urls {etcd}"
    service(one, "etcd", f"cd /var/lib && exec etcd {urls}")
    eventually(lambda: "healthy" in typed(one, "etcdctl endpoint health 2>&1"), "etcd serves", deadline=15)
    typed(one, f"etcdctl put /atomic.io/network/config '{json.dumps(config)}'")
    for host in (one, two):
        lines = f"FLANNEL_ETCD_ENDPOINTS={etcd}\\nFLANNEL_ETCD_PREFIX=/atomic.io/network\\n"
        typed(host, f"printf '{lines}' > {ENVIRONMENT_FILE}")
        service(host, "flanpyd", f"set -a; . {ENVIRONMENT_FILE}; exec flanpyd")
    for host in (one, two):
        typed(host, "flanpyctl status --wait")
        host.engine.start()
        typed(host, "flanpyctl docker apply --restart always")
        typed(host, "docker run -d --name box --stop-signal KILL busybox sleep 1000000")
    boxes = {host: typed(host, "docker exec box hostname -i").strip() for host in (one, two)}

    for host, peer in ((one, two), (two, one)):
        leased = dict(line.split("=", 1) for line in typed(host, "cat /run/flannel/subnet.env").split())
        assert leased["FLANNEL_NETWORK"] == "172.18.0.0/16"
        assert leased["FLANNEL_MTU"] == str(mtu)
        assert f"inet {leased['FLANNEL_SUBNET']} " in typed(host, "ip address show dev docker0")
        assert f"mtu {mtu} " in typed(host, "docker exec box ip link show eth0")
        said = typed(host, f"docker exec box ping -c 3 {boxes[peer]}")
        assert "3 packets received, 0% packet loss" in said
        assert min(map(int, re.findall(r"ttl=(\d+)", said))) >= 60
        assert "True" in typed(host, "flanpyctl docker status")
        _assert_streams(host.engine.container("box"), peer.engine.container("box"))


def _assert_streams(source: EngineContainer, target: EngineContainer) -> None:
    with Stream(source.as_end(), target.as_end(), interval_ms=0) as stream:
        eventually(lambda: stream.received_bytes > STREAMED, "the stream flows", deadline=15)
        assert stream.stop().whole
