"""The container image on real engines, by the commands of its page: flags, user, network, upgrade, restart, undo."""

from __future__ import annotations

import re

import pytest

from integration import package
from integration.hosts.engines import FETCHED, SYSTEM, DockerHost
from integration.lab import Stream
from integration.net.claim import PROJECT_ROOT
from integration.pages import commands
from tests.engines.conftest import BuildDockerLab
from tests.lab.overlay import eventually

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.lab,
    pytest.mark.more_engines,
    pytest.mark.timeout(900),
]

LOAD, RUN, NETWORK, SEE, STOP, UNDO = (
    block.text for block in commands((PROJECT_ROOT / "docs/howto/image.md").read_text())
)
BOTH_CAPABILITIES = f"{1 << 12 | 1 << 13:016x}"
"""CAP_NET_ADMIN and CAP_NET_RAW (capability.h)."""


def _typed(host: DockerHost, block: str) -> str:
    """Type a block of the page; its output."""
    image = package.built_image()
    for said, meant in {
        "flanpy-image-0.1.0-amd64.tar.gz": str(image),
        "http://192.0.2.10:2379": host.daemon.endpoints,
        "flanpy:0.1.0": f"flanpy:{_version()}",
    }.items():
        block = block.replace(said, meant)
    return host.run("sh", "-ec", block, timeout=240).stdout


def _version() -> str:
    found = re.fullmatch(r"flanpy-image-(.+)-\w+\.tar\.gz", package.built_image().name)
    assert found is not None
    return found[1]


def _begin(host: DockerHost) -> None:
    """Start Docker and the image, in a lab's own place in etcd."""
    host.engine.start()
    _typed(host, LOAD)
    prefix = host.daemon.environment["FLANPYD_ETCD_PREFIX"]
    host.run("sh", "-ec", f"echo FLANPYD_ETCD_PREFIX={prefix} >> /etc/flanpyd.env")
    _typed(host, RUN)
    _typed(host, NETWORK)


def _assert_reach(one: DockerHost, two: DockerHost) -> None:
    def lost() -> list[str]:
        first, second = (host.engine.container("web").as_end() for host in (one, two))
        return [
            f"{end.name} to {other.address}"
            for end, other in ((first, second), (second, first))
            if not end.ping(other, size=1450 - 28).ok
        ]

    eventually(lambda: not lost(), lost, deadline=20.0)


def _assert_is_not_root(host: DockerHost) -> None:
    said = host.engine.docker(
        "exec", "flanpyd", "sh", "-c", "while read l; do echo $l; done < /proc/1/status"
    ).stdout
    shown = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    assert shown["Uid"] == "8472 8472 8472 8472"
    assert shown["CapEff"] == shown["CapBnd"] == BOTH_CAPABILITIES
    refused = host.engine.docker("exec", "flanpyd", "sh", "-c", ": > /usr/bin/flanpyd", check=False)
    assert refused.returncode != 0


def _assert_nothing_left(host: DockerHost) -> None:
    assert "flannel.1" not in host.run("ip", "-o", "link").stdout
    assert host.run("ip", "route", "show", "proto", "70").stdout == ""
    assert not re.search("(?i)flanpy", host.run("nft", "list", "ruleset").stdout)
    for kind in (("ps", "-aq"), ("volume", "ls", "-q")):
        assert host.engine.docker(*kind).stdout == ""


@pytest.mark.parametrize("version", [SYSTEM, *FETCHED])
def test_image_joins_hosts_survives_docker_and_its_upgrade_and_leaves_nothing(
    build_lab: BuildDockerLab, version: str
) -> None:
    lab = build_lab(2, engine=version)
    lab.configure()
    one, two = lab.hosts
    for host in lab.hosts:
        _begin(host)
    _assert_reach(one, two)
    _assert_is_not_root(one)
    assert "works" in _typed(one, SEE)

    first, second = (host.engine.container("web").as_end() for host in lab.hosts)
    one.engine.docker("tag", f"localhost/flanpy:{_version()}", "localhost/flanpy:next")
    with Stream(first, second) as stream:
        _typed(one, STOP)
        _typed(one, re.sub(r"flanpy:0\.1\.0", "flanpy:next", RUN))
        assert stream.stop().whole

    one.engine.restart()
    eventually(
        lambda: one.engine.docker("exec", "flanpyd", "flanpyctl", "status", check=False).returncode == 0,
        lambda: one.engine.docker("logs", "flanpyd", check=False).stderr[-2000:],
        deadline=30.0,
    )
    _assert_reach(one, two)

    for host in lab.hosts:
        _typed(host, UNDO)
        _assert_nothing_left(host)
