"""Hosts with named networks on real engines, as the tests of them see them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from integration.hosts.engines import IMAGE, DockerHost, DockerLab, EngineContainer
from integration.net.namespaces import run_in
from integration.traffic.pairs import ProbeReport
from tests.lab.backend_side import status as told
from tests.lab.overlay import eventually

DEADLINE_S = 10.0


def in_docker(host: DockerHost, *names: str) -> None:
    """Have Docker's networks made as flanpy-docker does, once flanpyd has told of them."""

    def are_told() -> bool:
        done = host.flanpyctl("docker", "networks", "-o", "json", check=False)
        return done.returncode == 0 and {one["name"] for one in json.loads(done.stdout)} >= set(names)

    eventually(are_told, lambda: host.flanpyctl("docker", "networks", check=False), deadline=DEADLINE_S)
    eventually(
        lambda: all(is_joined(host, name) for name in names),
        lambda: host.run("ip", "link").stdout,
        deadline=DEADLINE_S,
    )


def vni(host: DockerHost, name: str) -> int:
    return int(json.loads(host.flanpyctl("networks", "show", name, "-o", "json").stdout)["vni"])


def is_joined(host: DockerHost, name: str) -> bool:
    """Report whether our device is up in Docker's bridge and floods to the other host."""
    number = vni(host, name)
    link = host.run("ip", "-j", "link", "show", f"fv-{number}", check=False).stdout
    entries = host.run("bridge", "fdb", "show", "dev", f"fv-{number}", check=False).stdout
    shown: list[dict[str, Any]] = json.loads(link or "[]")
    if not shown or "UP" not in shown[0]["flags"]:
        return False
    return shown[0].get("master") == f"fb-{number}" and "00:00:00:00:00:00 dst" in entries


def box(host: DockerHost, name: str, network: str) -> EngineContainer:
    return host.engine.run_container(name, *(("--network", network) if network else ()))


def remove(*boxes: EngineContainer) -> None:
    for one in boxes:
        one.remove()


def assert_none_lost(report: ProbeReport) -> None:
    assert report.received > 0
    assert report.lost == 0, report


def pings(one: EngineContainer, address: str, *, size: int = 56) -> bool:
    """Report whether one packet, which may not be fragmented, comes back."""
    ping = ("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size), address)
    return run_in(one.as_end().namespace, ping, check=False).returncode == 0


def address6(one: EngineContainer, network: str) -> str:
    found: str = one.inspect()["NetworkSettings"]["Networks"][network]["GlobalIPv6Address"]
    return found


def shown(host: DockerHost, name: str) -> dict[str, Any]:
    """Return a network with its slices as etcd has them, without revisions; {} if there is none."""
    done = host.flanpyctl("networks", "show", name, "-o", "json", check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def reboot(host: DockerHost) -> None:
    """Leave of the host what a boot finds: its disk. Docker starts before flanpyd is ready."""
    host.daemon.kill()
    shims = host.engine.inspect_containers()
    host.engine.stop()
    for container in shims.values():
        host.run("kill", "-9", str(container["State"]["Pid"]), check=False)
    for link in host.ip_json("link"):
        if link["ifname"].startswith(("fb-", "fv-", "docker0", "flannel", "veth")):
            host.run("ip", "link", "del", link["ifname"], check=False)
    host.run("nft", "flush", "ruleset")
    host.engine.start()
    host.daemon.relaunch()


def in_docker_here(host: DockerHost, name: str) -> None:
    """Have one network made in Docker of one host."""
    done = host.flanpyctl

    def is_told() -> bool:
        found = done("docker", "networks", "-o", "json", check=False)
        return found.returncode == 0 and name in {one["name"] for one in json.loads(found.stdout)}

    eventually(is_told, lambda: done("docker", "networks", check=False), deadline=DEADLINE_S)


def run(host: DockerHost, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a container, which may be refused."""
    return host.engine.docker("run", "-d", "--name", name, *options, IMAGE, "sleep", "1000000", check=False)


def status(host: DockerHost) -> dict[str, Any]:
    return dict(json.loads(host.flanpyctl("status", "-o", "json", check=False).stdout))


def ready(host: DockerHost) -> dict[str, Any]:
    """Return the condition of the host's named networks."""
    found: list[dict[str, Any]] = status(host)["conditions"]
    return next(one for one in found if one["type"] == "NetworksReady")


def move(lab: DockerLab, kind: str) -> None:
    """Have the flat overlay carried by that backend, and wait until no host keeps anything of another."""
    lab.configure(backend=kind)

    def carried() -> list[tuple[str, str | None]]:
        return [(one["type"], one["moving_from"]) for one in (told(host)["backend"] for host in lab.hosts)]

    eventually(lambda: carried() == [(kind, None)] * len(lab.hosts), carried, deadline=30.0)


def flat_ports(lab: DockerLab) -> set[int]:
    """Return the UDP ports of the overlay's own devices."""
    command = ("ip", "-d", "-j", "link", "show", "flannel.1")
    shown = [json.loads(host.run(*command, check=False).stdout or "[{}]")[0] for host in lab.hosts]
    return {int(link["linkinfo"]["info_data"]["port"]) if link else 0 for link in shown}


def stands(host: DockerHost, link: str) -> bool:
    """Report whether the host has a device of that name."""
    return host.run("ip", "link", "show", link, check=False).returncode == 0
