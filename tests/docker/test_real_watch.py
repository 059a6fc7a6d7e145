"""flanpyd beside a real dockerd: the condition follows what Docker runs, and the overlay does not care."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from integration.hosts.engines import DockerHost, DockerLab
from integration.lab import flanpyctl, wait_until
from tests.docker_logs import standing

pytestmark = [pytest.mark.netns, pytest.mark.lab, pytest.mark.etcd]

PATIENCE_S = 60.0


class Watched:
    """A host with flanpyd and dockerd, wired once."""

    def __init__(self, lab: DockerLab) -> None:
        self.host: DockerHost = lab.hosts[0]
        self.engine = self.host.engine

    def ctl(self, *words: str) -> str:
        flags = f"--subnet-file={self.host.daemon.subnet_path}"
        return self.host.run(*flanpyctl(), *words, flags, check=False, timeout=110).stdout

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.ctl("status", "-o", "json"))
        return said

    def condition(self) -> dict[str, Any]:
        return next(one for one in self.status()["conditions"] if one["type"] == "DockerConsistent")

    def becomes(self, reason: str) -> dict[str, Any]:
        """Wait for the condition to have a reason; the whole status then."""
        wait_until(
            lambda: self.condition()["reason"] == reason, f"DockerConsistent {reason}", deadline=PATIENCE_S
        )
        return self.status()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with DockerLab(1) as lab, standing(lab):
        lab.configure()
        lab.start_daemons()
        yield Watched(lab)


def test_p30_overlay_is_ready_whatever_docker_does_and_the_condition_says_what(watched: Watched) -> None:
    def ready(said: dict[str, Any]) -> bool:
        return bool(said["ready"]) and said["phase"] == "READY"

    assert ready(watched.becomes("NotRunning"))
    watched.engine.start(bip="172.17.0.1/16")
    assert ready(watched.becomes("NotWired"))
    watched.ctl("docker", "apply", "--restart", "always")
    said = watched.becomes("Consistent")
    assert ready(said)
    assert said["docker"]["default_bridge"]["subnet"] == said["own"]["subnet"]
    assert said["docker"]["version"].startswith("20.10")
    watched.engine.freeze()
    try:
        assert ready(watched.becomes("Hung"))
        assert watched.condition()["status"] == "Unknown"
    finally:
        watched.engine.thaw()
    assert ready(watched.becomes("Consistent"))
    watched.engine.restart()
    assert ready(watched.becomes("Consistent"))
    watched.engine.stop()
    assert ready(watched.becomes("NotRunning"))


def test_p31_trouble_with_docker_shows_in_probes_and_metrics_and_leaves_the_host_ready(
    watched: Watched,
) -> None:
    watched.ctl("docker", "apply")
    watched.engine.start()
    watched.becomes("Consistent")
    assert 'flanpy_condition_healthy{condition="DockerConsistent"} 1.0' in watched.host.daemon.metrics()
    assert "flanpy_docker_answers 1.0" in watched.host.daemon.metrics()
    watched.engine.configure({**json.loads(watched.engine.daemon_json_path.read_text()), "mtu": 1500})
    watched.engine.restart()
    said = watched.becomes("MTUDiffers")
    assert (said["ready"], said["phase"]) == (True, "DEGRADED")
    assert "flanpyctl docker apply" in watched.condition()["cure"]
    code, body = watched.host.daemon.fetch("/readyz?verbose")
    assert code == 200
    assert "[-]DockerConsistent MTUDiffers: docker0 gives containers MTU 1500" in body
    assert 'flanpy_condition_healthy{condition="DockerConsistent"} 0.0' in watched.host.daemon.metrics()
    assert watched.status()["docker"]["default_bridge"]["mtu"] == 1500


LOOK = """
import asyncio, sys
from pathlib import Path
from flanpy.docker.api import look
print(asyncio.run(look(Path(sys.argv[1]), {})))
"""


def test_docker_that_may_not_be_asked_or_is_another_hosts_is_told_apart(watched: Watched) -> None:
    watched.engine.start()
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
    ask = (sys.executable, "-c", LOOK, "/run/docker.sock")
    assert "FORBIDDEN" in watched.host.run(*nobody, *ask, timeout=110).stdout
    assert "DockerFacts" in watched.host.run(*ask, timeout=110).stdout
    from_here = str(watched.engine.socket_path)
    seen = subprocess.run([*ask[:-1], from_here], capture_output=True, text=True, timeout=110, check=True)
    assert "ELSEWHERE" in seen.stdout
