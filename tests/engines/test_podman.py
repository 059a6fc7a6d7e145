"""Podman's containers on the leased subnet, by the commands of the page on CNI and Podman, between two hosts."""

from __future__ import annotations

import shutil

import pytest

from integration.hosts.engines import SERVE, DockerHost, EngineContainer
from integration.hosts.engines.podman import Podman
from integration.net.claim import PROJECT_ROOT
from integration.pages import commands
from tests.engines.conftest import BuildDockerLab
from tests.engines.image_page import stay_in_the_lab, typed
from tests.engines.outside import PORT, ask, serving
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SUBNET_FILE = "/run/flannel/subnet.env"


def _blocks(page: str) -> list[str]:
    found = commands((PROJECT_ROOT / "docs/howto" / page).read_text())
    return [block.text for block in found if block.elsewhere == "tests/engines/test_podman.py"]


def _served(podman: Podman, subnet_file: str) -> EngineContainer:
    """Type the page's block on the host, and run a container that says its name and whom it sees."""
    (block,) = _blocks("cni.md")
    podman.host.run("sh", "-ec", block.replace(SUBNET_FILE, subnet_file))
    return podman.run_container(podman.host.name, "--network", "flanpy", command=SERVE)


def _installed(host: DockerHost) -> Podman:
    podman = Podman(host)
    podman.install()
    return podman


def test_podman_containers_reach_each_other_by_their_own_addresses(build_lab: BuildDockerLab) -> None:
    assert shutil.which("podman"), "no Podman here: run `make setup`"
    lab = build_lab(3)
    lab.configure()
    one, two = lab.hosts[:2]
    for host in (one, two):
        host.daemon.launch("--ip-masq")
    for host in (one, two):
        host.daemon.wait_ready()
    first, second = (_served(_installed(host), str(host.daemon.subnet_path)) for host in (one, two))
    here, there = first.as_end(), second.as_end()
    assert there.address in map(str, two.subnet_file.subnet.network)
    eventually(
        lambda: ask(here.namespace, there.address, 80, tries=1) == f"h2 {here.address}",
        lambda: ask(here.namespace, there.address, 80, tries=1),
        deadline=15.0,
    )
    assert ask(there.namespace, here.address, 80) == f"h1 {there.address}"
    mtu = one.subnet_file.mtu
    assert here.ping(there, size=mtu - 28).ok
    assert not here.ping(there, size=mtu - 27).ok
    with serving(lab.hosts[2]) as world:
        assert ask(here.namespace, world.address, PORT) == one.address


@pytest.mark.more_engines
@pytest.mark.timeout(600)
def test_image_run_by_podman_joins_hosts_and_leaves_nothing(build_lab: BuildDockerLab) -> None:
    load, run, undo = _blocks("image.md")
    lab = build_lab(2)
    lab.configure()
    hosts = [(host, _installed(host)) for host in lab.hosts]
    for host, podman in hosts:
        typed(host, load)
        stay_in_the_lab(host)
        typed(host, podman.in_the_lab(run))
        status = podman.docker(
            "exec", "flanpyd", "sh", "-c", "while read l; do echo $l; done < /proc/1/status"
        )
        assert "Uid: 8472 8472 8472 8472" in status.stdout
    one, two = (_served(podman, SUBNET_FILE).as_end() for _, podman in hosts)
    eventually(lambda: one.ping(two, size=1450 - 28).ok, lambda: one.ping(two), deadline=15.0)
    assert two.ping(one).ok
    for host, podman in hosts:
        podman.docker("rm", "-f", host.name)
        podman.docker("network", "rm", "flanpy")
        typed(host, podman.in_the_lab(undo))
        assert "flannel.1" not in host.run("ip", "-o", "link").stdout
        assert "flanpy" not in host.run("nft", "list", "ruleset").stdout.lower()
        assert podman.docker("volume", "ls", "-q").stdout == ""
