"""The container image on real engines, by the commands of its page: flags, user, network, upgrade, restart, undo."""

from __future__ import annotations

import re

import pytest

from integration.hosts.engines import FETCHED, SYSTEM, DockerHost, made_by_hand
from integration.lab import Stream
from integration.net.claim import PROJECT_ROOT
from integration.pages import commands
from tests.engines.conftest import BuildDockerLab
from tests.engines.image_page import image_version, stay_in_the_lab, typed
from tests.lab.overlay import eventually

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.lab,
    pytest.mark.more_engines,
    pytest.mark.timeout(900),
]

PAGE = (PROJECT_ROOT / "docs/howto/image.md").read_text()
LOAD, RUN, NETWORK, SEE, STOP, UNDO = (
    block.text for block in commands(PAGE) if block.elsewhere == "tests/engines/test_image.py"
)
(FOR_LEGACY,) = re.findall(r"^\| `(.+)` \| for hosts with iptables-legacy only", PAGE, re.MULTILINE)
BOTH_CAPABILITIES = f"{1 << 12 | 1 << 13:016x}"
"""CAP_NET_ADMIN and CAP_NET_RAW (capability.h)."""


def _begin(host: DockerHost, run: str) -> None:
    """Start Docker and the image, in a lab's own place in etcd."""
    host.engine.start()
    typed(host, LOAD)
    stay_in_the_lab(host)
    typed(host, run)
    typed(host, NETWORK)


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
    for ruleset in (("nft", "list", "ruleset"), ("iptables-legacy-save",)):
        assert not re.search("(?i)flanpy", host.run(*ruleset).stdout)
    for kind in (("ps", "-aq"), ("volume", "ls", "-q")):
        assert host.engine.docker(*kind).stdout == ""


@pytest.mark.parametrize(
    ("version", "legacy"),
    [(version, False) for version in (SYSTEM, *FETCHED, *made_by_hand())] + [(SYSTEM, True)],
)
def test_image_joins_hosts_survives_docker_and_its_upgrade_and_leaves_nothing(
    build_lab: BuildDockerLab, version: str, legacy: bool
) -> None:
    lab = build_lab(2, engine=version, legacy=legacy)
    lab.configure()
    one, two = lab.hosts
    run = RUN.replace("--read-only", f"--read-only {FOR_LEGACY}") if legacy else RUN
    for host in lab.hosts:
        _begin(host, run)
    _assert_reach(one, two)
    if legacy:
        assert "FLANPY" in one.run("iptables-legacy-save").stdout.upper()
    else:
        _assert_is_not_root(one)
    assert "works" in typed(one, SEE)

    first, second = (host.engine.container("web").as_end() for host in lab.hosts)
    one.engine.docker("tag", f"localhost/flanpy:{image_version()}", "localhost/flanpy:next")
    with Stream(first, second) as stream:
        typed(one, STOP)
        typed(one, re.sub(r"flanpy:0\.1\.0", "flanpy:next", run))
        assert stream.stop().whole

    one.engine.restart()
    eventually(
        lambda: one.engine.docker("exec", "flanpyd", "flanpyctl", "status", check=False).returncode == 0,
        lambda: one.engine.docker("logs", "flanpyd", check=False).stderr[-2000:],
        deadline=30.0,
    )
    _assert_reach(one, two)

    for host in lab.hosts:
        typed(host, UNDO)
        _assert_nothing_left(host)
