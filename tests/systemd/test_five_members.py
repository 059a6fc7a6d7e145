"""Five booted hosts of one cluster, and what may happen to the host with its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.lab import Probe
from tests.lab.overlay import eventually
from tests.package.installed import end
from tests.systemd.looks import DEADLINE_S
from tests.systemd.test_cluster import members, token_of

pytestmark = [
    pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd, pytest.mark.more_engines, pytest.mark.timeout(1200),
]  # fmt: skip

STORE = "/var/lib/flanpy-store"
FULL = f"""
systemctl stop flanpy-store
mkdir /root/whole && cp -a {STORE}/. /root/whole
mount -t tmpfs -o size=16m tmpfs {STORE}
cp -a /root/whole/. {STORE} && chown --reference=/root/whole {STORE} && chmod 700 {STORE}
systemctl start flanpy-store
flanpyctl subnets --etcd
dd if=/dev/zero of={STORE}/filler bs=4k || true
"""
FILL = "for _ in $(seq 300); do flanpyctl cluster token create > /dev/null || exit 9; done"
"""Writes until one is refused: the store's log has room of before."""
WHOLE = f"""
systemctl stop flanpy-store
rm -f {STORE}/filler; mkdir -p /root/after && cp -a {STORE}/. /root/after
umount {STORE} && cp -a /root/after/. {STORE}
systemctl start flanpy-store
"""


@pytest.fixture(scope="module")
def five(layer: Path) -> Iterator[SystemdLab]:
    """One host has run `cluster init`, the others `cluster join` with one token."""
    with SystemdLab(hosts=5, layers=[layer]) as lab:
        lab.boot()
        first, *others = lab.hosts
        for host in lab.hosts:
            host.run("sh", "/opt/flanpy/install.sh", "--activate")
        first.run("flanpyctl", "cluster", "init")
        token = token_of(first, "--uses", "4")
        for host in others:
            host.run("flanpyctl", "cluster", "join", "-", stdin=token)
        yield lab


def _answers(host: SystemdHost) -> bool:
    return host.run("flanpyctl", "subnets", "--etcd", check=False).returncode == 0


def test_every_pair_of_five_members_reaches_each_other(five: SystemdLab) -> None:
    assert set(members(five.hosts[4])) == {host.name for host in five.hosts}
    ends = [end(host) for host in five.hosts]
    for one, other in permutations(ends, 2):
        assert one.ping(other).ok, (one, other)


def test_store_that_is_killed_is_back_and_no_packet_is_lost(five: SystemdLab) -> None:
    first, *_, last = five.hosts
    with Probe(end(five.hosts[1]), end(last)) as probe:
        probe.wait_flowing()
        first.run("systemctl", "kill", "-s", "KILL", "flanpy-store")
        eventually(lambda: _answers(last), lambda: first.journal("flanpy-store"), deadline=DEADLINE_S)
        probe.mark()
        report = probe.stop()
    assert report.lost == 0, report


def test_full_disk_of_the_store_refuses_writes_and_serves_reads(five: SystemdLab) -> None:
    first, second, *_, last = five.hosts
    shown = json.loads(last.run("flanpyctl", "network", "show", "-o", "json").stdout)
    try:
        first.run("bash", "-euc", FULL)
        refused = first.run("bash", "-c", FILL, check=False)
        assert refused.returncode == 9, refused.stdout
        assert "space" in refused.stderr, refused.stderr
        assert json.loads(last.run("flanpyctl", "network", "show", "-o", "json").stdout) == shown
        assert end(second).ping(end(last)).ok
        first.run("rm", f"{STORE}/filler")
        last.run("systemctl", "restart", "flanpyd")
        last.run("flanpyctl", "status", "--wait", "--timeout", "60")
    finally:
        first.run("bash", "-c", WHOLE)
    eventually(lambda: _answers(last), lambda: first.journal("flanpy-store"), deadline=DEADLINE_S)
