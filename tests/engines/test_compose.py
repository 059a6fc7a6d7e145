"""The files of docs/howto/compose.md, by a real Docker Compose on real engines: what they start is on the overlay."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from integration.hosts.engines import DockerHost
from integration.hosts.engines.names import RESOLVER, NamesProgram
from integration.net.claim import PROJECT_ROOT
from tests.engines.conftest import BuildDockerLab
from tests.engines.named_hosts import in_docker
from tests.engines.outside import serving
from tests.engines.overlay_hosts import DEADLINE_S, Overlay, set_up
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.more_engines]

PAGE = PROJECT_ROOT / "docs/howto/compose.md"
TUTORIAL = PROJECT_ROOT / "docs/tutorial/compose-two-hosts.md"
DB, WEB = re.findall(r"(?ms)^```yaml\n(services:.*?)^```", TUTORIAL.read_text())
DEFAULT_BRIDGE, BY_NAME, ADDRESS_KEPT = re.findall(r"(?ms)^```yaml\n(services:.*?)^```", PAGE.read_text())


@cache
def compose_program() -> str:
    """Fetch Docker Compose once; return its path."""
    script = PROJECT_ROOT / "integration/hosts/engines/compose.sh"
    done = subprocess.run([script], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()[-1]


def compose(host: DockerHost, directory: Path, text: str, *words: str, check: bool = True) -> str:
    """Run one command of Compose on a project of this text."""
    directory.mkdir(exist_ok=True)
    (directory / "compose.yaml").write_text(text)
    done = subprocess.run(
        [compose_program(), *words], cwd=directory, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "DOCKER_HOST": f"unix://{host.engine.socket_path}"},
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def address(host: DockerHost, project: str, service: str, network: str) -> IPv4Address:
    """Return the address of a service's one container on a network."""
    found = host.engine.inspect(f"{project}-{service}-1")
    return IPv4Address(found["NetworkSettings"]["Networks"][network]["IPAddress"])


def assert_reached_from_afar(overlay: Overlay, target: IPv4Address) -> None:
    """The container of the other host gets an answer from it."""
    overlay.hosts[1].engine.docker("exec", "two", "ping", "-c", "1", "-W", "5", str(target))


def test_service_on_the_default_bridge_is_on_the_overlay(build_lab: BuildDockerLab, tmp_path: Path) -> None:
    lab = build_lab(3)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world)
        host = overlay.hosts[0]
        compose(host, tmp_path / "shop", DEFAULT_BRIDGE, "up", "-d")
        target = address(host, "shop", "web", "bridge")
        assert target in host.subnet_file.subnet.network
        assert_reached_from_afar(overlay, target)
        compose(host, tmp_path / "shop", DEFAULT_BRIDGE, "down", "-t", "0")
        overlay.assert_works()


def test_services_on_the_external_network_have_names_here_and_addresses_everywhere(
    build_lab: BuildDockerLab, tmp_path: Path
) -> None:
    lab = build_lab(3)
    with serving(lab.hosts[2]) as world:
        overlay = set_up(lab, world, apply=("--mode", "network"), run=("--network", "flanpy"))
        host = overlay.hosts[0]
        own = host.subnet_file.subnet.network
        compose(host, tmp_path / "shop", BY_NAME, "up", "-d")
        for service in ("web", "db"):
            assert_reached_from_afar(overlay, address(host, "shop", service, "flanpy"))
        host.engine.docker("exec", "shop-db-1", "ping", "-c", "1", "-W", "5", "web")

        kept = own[200]
        text = ADDRESS_KEPT.replace("10.50.23.200", str(kept))
        assert text != ADDRESS_KEPT or str(kept) == "10.50.23.200"
        compose(host, tmp_path / "kept", text, "up", "-d")
        compose(host, tmp_path / "kept", text, "up", "-d", "--force-recreate")
        assert address(host, "kept", "db", "flanpy") == kept
        assert_reached_from_afar(overlay, kept)
        for name, file in (("shop", BY_NAME), ("kept", text)):
            compose(host, tmp_path / name, file, "down", "-t", "0")
        overlay.assert_works()


def test_application_of_the_tutorial_is_found_by_name_on_the_other_host_and_where_it_moves(
    build_lab: BuildDockerLab, tmp_path: Path
) -> None:
    lab = build_lab(2)
    one, two = lab.hosts
    lab.configure()
    lab.start_daemons(f"--dns-listen={RESOLVER}:53", deadline=60)
    lab.start_engines()
    (create,) = re.findall(r"(?m)^flanpyctl (networks create .*)$", TUTORIAL.read_text())
    one.flanpyctl(*create.split())
    with ExitStack() as stack:
        for host in lab.hosts:
            in_docker(host, "shop")
            program = NamesProgram(host)
            stack.callback(program.stop)
            program.start()
        compose(one, tmp_path / "shop-db", DB, "up", "-d")
        compose(two, tmp_path / "shop-web", WEB, "up", "-d")
        for name in ("db", "shop-db-db-1", "db.shop"):
            eventually(lambda: reaches(two, tmp_path, name), f"no {name}", deadline=DEADLINE_S)  # noqa: B023
        first = str(address(one, "shop-db", "db", "shop"))
        compose(one, tmp_path / "shop-db", DB, "down", "-t", "0")
        compose(two, tmp_path / "shop-db", DB, "up", "-d")
        assert str(address(two, "shop-db", "db", "shop")) != first
        eventually(lambda: reaches(two, tmp_path, "db"), "not where it moved", deadline=DEADLINE_S)
        for project, text in (("shop-db", DB), ("shop-web", WEB)):
            compose(two, tmp_path / project, text, "down", "-t", "0")


def reaches(host: DockerHost, directory: Path, name: str) -> bool:
    """Report whether the tutorial's application gets an answer from a name."""
    words = ("exec", "-T", "web", "ping", "-c", "1", "-W", "1", name)
    return "1 packets received" in compose(host, directory / "shop-web", WEB, *words, check=False)
