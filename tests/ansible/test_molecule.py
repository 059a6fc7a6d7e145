"""The collection's own scenario, on three hosts without Docker that are an etcd cluster, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ansible.conftest import operated
from tests.ansible.controller import COLLECTIONS

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.timeout(1800)]

SCENARIO = COLLECTIONS / "ansible_collections/flanpy/overlay/extensions"


def test_molecule_scenario_passes_on_three_hosts_with_an_etcd_member_each(deb: Path, tmp_path: Path) -> None:
    with operated(3, tmp_path) as controller:
        hosts = controller.lab.hosts
        controller.write_inventory(
            {"flanpy": hosts, "flanpy_etcd": hosts},
            {
                "flanpyd_package": str(deb),
                "flanpyd_network": "10.50.0.0/16",
                "flanpy_docker": False,
                "flanpy_serial": 3,
                "flanpy_verify_image": "",
            },
        )
        tested = controller.run(
            "molecule", "test", cwd=SCENARIO,
            FLANPY_INVENTORY=str(controller.inventory), MOLECULE_EPHEMERAL_DIRECTORY=str(tmp_path / "molecule"),
        )  # fmt: skip
        assert tested.code == 0, tested.text[-6000:]
        members = hosts[0].run(
            "env", "ETCDCTL_API=3", "etcdctl", f"--endpoints=https://{hosts[0].address}:2379",
            "--cacert=/etc/flanpy-etcd/ca.pem", "--cert=/etc/flanpy-etcd/cert.pem", "--key=/etc/flanpy-etcd/key.pem",
            "member", "list",
        ).stdout  # fmt: skip
        assert members.count("started") == len(hosts)
        for host in hosts:
            hosts_reached = host.run("flanpyctl", "status").stdout
            assert "2 wanted, 2 programmed" in hosts_reached
