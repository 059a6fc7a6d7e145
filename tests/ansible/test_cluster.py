"""The playbook `cluster`: bare hosts become a cluster with the embedded store, and one leaves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.conftest import operated
from tests.ansible.controller import Controller
from tests.ansible.traces import Traces, traces_of

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.more_engines, pytest.mark.timeout(1800)]

RANGE = "10.50.0.0/16"


@pytest.fixture
def controller(deb: Path, tmp_path: Path) -> Iterator[Controller]:
    with operated(2, tmp_path) as made:
        made.write_inventory(
            {"flanpy": made.lab.hosts}, {"flanpyd_package": str(deb), "flanpy_cluster_range": RANGE}
        )
        for host in made.lab.hosts:
            host.docker.load_image()
        yield made


def _members(controller: Controller) -> set[str]:
    said = controller.lab.hosts[0].run("flanpyctl", "cluster", "members", "-o", "json").stdout
    return {row["name"] for row in json.loads(said)}


def test_playbook_makes_a_cluster_once_and_takes_a_host_out_and_in_again(controller: Controller) -> None:
    first, second = hosts = controller.lab.hosts
    before = [traces_of(host) for host in hosts]
    assert controller.play("cluster", "--check").total("failed") == 0
    assert [traces_of(host) - known for host, known in zip(hosts, before, strict=True)] == [Traces()] * 2
    controller.play("cluster")
    again = controller.play("cluster")
    assert again.total("changed") == 0, again.changes()
    one, other = (host.docker.run_container(f"on-{host.name}") for host in hosts)
    assert one.ping(other.address).ok
    assert _members(controller) == {first.name, second.name}
    assert controller.play("cluster", "--check").total("changed") == 0
    second.docker.remove_containers()
    controller.play("uninstall", "--limit", second.name)
    assert _members(controller) == {first.name}
    assert not second.exists("/etc/flanpy")
    controller.play("cluster")
    assert _members(controller) == {first.name, second.name}
    for host in hosts:
        assert host.failed_units() == []
