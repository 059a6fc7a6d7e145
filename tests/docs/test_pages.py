"""Whoever types what the pages say gets what they promise. One reader reads them all, on the same two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.systemd import SystemdLab
from tests.docs.reader import ROOT, Reader, clean_checkout

pytestmark = pytest.mark.lab

DOCS = ROOT / "docs"
PAGES = (
    "tutorial/two-hosts",
    "howto/monitoring",
    "howto/firewalls",
    "howto/troubleshoot",
    "howto/docker-engines",
    "howto/upgrade",
    "howto/restore-etcd",
    "howto/etcd-tls-auth",
)


@pytest.fixture(scope="module")
def reader(package: Path) -> Iterator[Reader]:
    """Two hosts as Debian gives them, with Docker running, the package in /root and an image, as no registry is reached."""
    with SystemdLab(hosts=2) as lab:
        lab.boot()
        first, second = lab.hosts
        for host in lab.hosts:
            host.docker.load_image()
            host.run("systemctl", "unmask", "etcd", "ufw", "firewalld")
            host.path("/root/flanpy.deb").write_bytes(package.read_bytes())
        known = {"192.0.2.11": first.address, "192.0.2.12": second.address}
        yield Reader({"host1": first, "host2": second}, known)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says_when_its_commands_are_typed(reader: Reader, page: str) -> None:
    reader.follow(DOCS / f"{page}.md")


def test_the_laptop_page_does_what_it_says_when_its_commands_are_typed() -> None:
    with clean_checkout():
        Reader({}, {}).follow(DOCS / "tutorial/laptop.md")
