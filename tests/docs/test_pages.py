"""The pages and their promises: one reader types the commands of all pages, on the same two hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from integration import package
from integration.hosts.systemd import SystemdLab
from tests.docs.reader import ROOT, Reader, clean_checkout

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd, pytest.mark.timeout(1800)]

DOCS = ROOT / "docs"
PAGES = (
    "howto/own-etcd",
    "howto/monitoring",
    "howto/firewalls",
    "howto/troubleshoot",
    "howto/docker-engines",
    "howto/compose",
    "howto/upgrade",
    "howto/restore-etcd",
    "howto/drain-replace",
    "howto/uninstall",
    "howto/etcd-tls-auth",
)
FIRST = DOCS / f"{PAGES[0]}.md"
ELSEWHERE = ("tutorial/two-hosts", "tutorial/laptop", "howto/migrate-from-flannel")
BEFORE: Mapping[str, Mapping[str, str]] = {
    # What a reader of this page has: a firewall that runs, which lets ssh and the other services of the host in.
    "howto/firewalls": {
        "host1": "ufw allow 2379/tcp && ufw --force enable",
        "host2": "systemctl start firewalld",
    },
    # Docker on its own range again, as before anybody chose bip mode.
    "howto/docker-engines": {
        "host2": """docker rm -f hello && systemctl disable flanpy-docker.service && flanpyctl docker rollback
                    echo '{"bip": "172.17.0.1/16"}' > /etc/docker/daemon.json && systemctl restart docker""",
    },
}
AFTER: Mapping[str, Mapping[str, str]] = {
    # Leases come back to etcd by themselves, within seconds; the next page changes one there.
    "howto/restore-etcd": {
        "host1": "timeout 90 sh -c 'until flanpyctl subnets show own --etcd; do sleep 0.5; done'",
    },
    "howto/firewalls": {
        "host1": "ufw disable && nft delete table inet site",
        "host2": "systemctl stop firewalld && flanpyctl status --wait",
    },
    # The other pages are read on hosts in bip mode.
    "howto/docker-engines": dict.fromkeys(("host1", "host2"), "flanpyctl docker apply --restart always"),
}


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with reader_of_debian() as provided:
        yield provided


@contextmanager
def reader_of_debian(suite: str = "") -> Iterator[Reader]:
    """Provide two hosts as Debian gives them, Docker running; the package in /root, and an image, as no
    registry is reached."""
    with SystemdLab(hosts=2, suite=suite) as lab:
        lab.boot()
        first, second = lab.hosts
        for host in lab.hosts:
            host.docker.load_image()
            host.run("systemctl", "unmask", "etcd", "ufw", "firewalld")
            host.path("/root/flanpy.deb").write_bytes(package.built().read_bytes())
        known = {"192.0.2.11": first.address, "192.0.2.12": second.address, "192.0.2.0/24": "10.99.0.0/16"}
        yield Reader({"host1": first, "host2": second}, known)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says_when_its_commands_are_typed(reader: Reader, page: str) -> None:
    if page != PAGES[0] and not reader.has_read(FIRST):  # one page alone: begin where every reader begins
        reader.follow(FIRST)
    reader.prepare(BEFORE.get(page, {}))
    reader.follow(DOCS / f"{page}.md")
    reader.prepare(AFTER.get(page, {}))


@pytest.mark.parametrize("suite", ["", pytest.param("trixie", marks=pytest.mark.more_engines)])
def test_two_commands_make_a_cluster_of_two_hosts(suite: str) -> None:
    with reader_of_debian(suite) as reader:
        reader.follow(DOCS / "tutorial/two-hosts.md")


@pytest.mark.more_engines
def test_the_first_page_and_the_last_do_what_they_say_on_debian_13() -> None:
    with reader_of_debian("trixie") as reader:
        for page in (PAGES[0], "howto/upgrade", "howto/uninstall"):
            reader.follow(DOCS / f"{page}.md")


def test_the_laptop_page_does_what_it_says_when_its_commands_are_typed() -> None:
    with clean_checkout():
        Reader({}, {}).follow(DOCS / "tutorial/laptop.md")


def test_every_page_with_commands_is_typed_by_somebody() -> None:
    typed = {DOCS / f"{page}.md" for page in (*PAGES, *ELSEWHERE)}
    left = [path for path in DOCS.glob("*/*.md") if "<!-- run:" in path.read_text() and path not in typed]
    assert left == []
