"""The site play on other systems than Debian 12: etcd with TLS and passwords, flanpyd and a wired Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.hosts.engines.image import IMAGE
from tests.ansible.conftest import operated

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.more_engines, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("suite", ["trixie", "noble", "jammy"])
def test_site_play_brings_bare_hosts_to_containers_that_reach_each_other(
    suite: str, deb: Path, tmp_path: Path
) -> None:
    with operated(2, tmp_path, suite) as controller:
        hosts = controller.lab.hosts
        controller.write_inventory(
            {"flanpy": hosts, "flanpy_etcd": hosts[:1]},
            {
                "flanpyd_package": str(deb),
                "flanpyd_network": "10.50.0.0/16",
                "flanpy_verify_image": IMAGE,
                "flanpy_etcd_pki_dir": str(tmp_path / "pki"),
                "flanpy_etcd_password": "pass#1'word$",
            },
        )
        for host in hosts:
            host.docker.load_image()
        controller.play("site", flanpy_serial=2)
        again = controller.play("site", flanpy_serial=2)
        assert again.total("changed") == 0, again.changes()
        one, other = (host.docker.run_container(f"on-{host.name}") for host in hosts)
        assert one.ping(other.address).ok
        for host in hosts:
            assert host.failed_units() == []
