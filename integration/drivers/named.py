"""The tour's last step, where Docker is installed: two containers on two hosts find each other by name."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from functools import partial

from integration.drivers.stage import Failed, Stage
from integration.hosts.engines import DockerHost, DockerLab
from integration.hosts.engines.names import RESOLVER, NamesProgram
from integration.net.waiting import wait_until

_PROGRAMS = ("dockerd", "containerd", "runc", "docker", "busybox", "iptables")
_CREATE = ("networks", "create", "shop", "10.96.0.0/16")
_DEADLINE_S = 30.0


def can_be_shown() -> bool:
    """Report whether this machine has a Docker that hosts of a lab can run."""
    return all(map(shutil.which, _PROGRAMS))


def show(stage: Stage) -> None:
    """Build two hosts with an engine each, make one network, and ping a container by its name."""
    with DockerLab(2) as lab, ExitStack() as running:
        lab.configure()
        lab.start_daemons(f"--dns-listen={RESOLVER}:53", deadline=60)
        lab.start_engines()
        one, two = lab.hosts
        stage.command("flanpyctl", *_CREATE)
        one.flanpyctl(*_CREATE)
        for host in lab.hosts:
            names = NamesProgram(host)
            running.callback(names.stop)
            names.start()
            wait_until(
                partial(_has_network, host),
                f"shop is in Docker of {host.name}",
                deadline=_DEADLINE_S,
            )
        for host, name in ((one, "db"), (two, "web")):
            options = ("--network", "shop", "--dns", RESOLVER)
            stage.command("docker", "run", "-d", *options, "--name", name, "IMAGE", f"  # on {host.name}")
            host.engine.run_container(name, *options)
        took = wait_until(lambda: _reaches(two, "db"), "web reaches db by name", deadline=_DEADLINE_S)
        stage.command("docker", "exec", "web", "ping", "-c", "1", "db", f"  # on {two.name}")
        answer = _ping(two, "db")
        if not answer:
            raise Failed("db answered once, and not again")
        stage.say(f"{answer}\nfound {took * 1000:.0f} ms after 'docker run'")


def _has_network(host: DockerHost) -> bool:
    """Make Docker's networks, as flanpy-docker-networks.service does; report whether the one of the tour is there."""
    done = host.flanpyctl("docker", "networks", "-o", "json", check=False)
    return done.returncode == 0 and "shop" in {one["name"] for one in json.loads(done.stdout)}


def _reaches(host: DockerHost, name: str) -> bool:
    return _ping(host, name) != ""


def _ping(host: DockerHost, name: str) -> str:
    """Return the line of ping's answer in the container `web`, "" without one."""
    done = host.engine.docker("exec", "web", "ping", "-c", "1", "-W", "1", name, check=False)
    return next((line for line in done.stdout.splitlines() if "bytes from" in line), "")
