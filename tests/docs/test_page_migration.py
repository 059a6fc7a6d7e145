"""The page on migration: its commands, typed on a host of flannel's, put flanpyd in its place, and take it back."""

from __future__ import annotations

import pytest

from integration import package
from integration.hosts.systemd import SystemdLab
from integration.hosts.systemd.flannel import NETWORK, run_flannel, write_lease
from integration.lab import ETCD_PREFIX
from tests.docs.reader import ROOT, Reader

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd, pytest.mark.timeout(1800)]


def test_the_page_on_migration_does_what_it_says_when_its_commands_are_typed() -> None:
    with SystemdLab(hosts=2) as lab:
        lab.boot()
        lab.etcd.api.put(f"{ETCD_PREFIX}/config", NETWORK)
        for number, host in enumerate(lab.hosts, 1):
            write_lease(lab.etcd.api, number, host)
            run_flannel(number, host, endpoints=lab.etcd.endpoints)
        first = lab.hosts[0]
        first.path("/root/flanpy.deb").write_bytes(package.built().read_bytes())
        first.run("apt-get", "install", "-y", "/root/flanpy.deb", timeout=180)
        Reader({"host1": first}, {}).follow(ROOT / "docs/howto/migrate-from-flannel.md")
        assert first.is_active("flanneld.service")
        assert not first.is_active("flanpyd.service")
