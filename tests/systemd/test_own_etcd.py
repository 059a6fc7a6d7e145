"""`cluster init --etcd`: booted hosts on an etcd of one's own, each by the same one command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.systemd import SystemdHost, SystemdLab
from tests.lab.overlay import eventually
from tests.systemd.looks import DEADLINE_S
from tests.systemd.test_store_unit import block

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

RANGE = "10.50.0.0/16"


@pytest.fixture(scope="module")
def bare(layer: Path) -> Iterator[SystemdLab]:
    """Hosts on which flanpy is installed and not set up, and an etcd that holds no network."""
    with SystemdLab(hosts=3, layers=[layer]) as lab:
        lab.boot()
        for host in lab.hosts:
            host.run("sh", "/opt/flanpy/install.sh", "--activate")
        yield lab


def _init(host: SystemdHost, etcd: str, *words: str) -> str:
    return str(host.run("flanpyctl", "cluster", "init", RANGE, "--etcd", etcd, *words).stdout)


def _changed(host: SystemdHost, etcd: str, *words: str) -> list[str]:
    """Run it again; return what it did to the host. Docker's wiring may wait for its containers."""
    steps = json.loads(_init(host, etcd, *words, "-o", "json"))["steps"]
    return [one["step"] for one in steps if one["verdict"] != "keep" and "Docker" not in one["step"]]


def test_same_command_on_each_host_makes_an_overlay_and_keeps_it(bare: SystemdLab) -> None:
    first, second, _ = bare.hosts
    etcd = bare.etcd.endpoints
    said = _init(first, etcd, "--dry-run")
    assert f"would  network {RANGE}" in said
    assert "no store is set up" in said
    assert not re.search("^done ", said, re.MULTILINE)
    assert not first.is_active("flanpyd")
    said = _init(first, etcd)
    assert f"done   network {RANGE}" in said
    assert "run this same command there" in said
    assert f"keep   network {RANGE}" in _init(second, etcd)
    assert not any(host.is_active("flanpy-store") for host in (first, second))
    one, two = (host.docker.run_container("c1") for host in (first, second))
    eventually(
        lambda: one.ping(two).ok and two.ping(one).ok, lambda: first.journal("flanpyd"), deadline=DEADLINE_S
    )
    before = [host.unit("flanpyd", "MainPID") for host in (first, second)]
    assert [_changed(host, etcd) for host in (first, second)] == [[], []]
    assert [host.unit("flanpyd", "MainPID") for host in (first, second)] == before
    second.run("systemctl", "disable", "--now", "flanpyd")
    assert _changed(second, etcd) == ["flanpyd.service is enabled and runs", "flanpyd is ready"]


def test_certificates_go_where_the_unit_takes_them_from_and_are_replaced(bare: SystemdLab) -> None:
    third = bare.hosts[2]
    third.run("bash", "-euc", block("issue store").replace("192.0.2.10", third.address))
    etcd = f"https://{third.address}:2379"
    made = {"--cacert": "ca.crt", "--cert": "host.crt", "--key": "host.key"}
    third.run("mkdir", "/root/tls")
    third.run("cp", *(f"/etc/credstore/{name}" for name in made.values()), "/root/tls")
    words = [word for name, file in made.items() for word in (name, f"/root/tls/{file}")]
    refused = third.run("flanpyctl", "cluster", "init", "--etcd", etcd, *words[:2], check=False)
    assert refused.returncode == 3, refused
    assert not third.exists("/etc/credstore/flanpyd.etcd-cafile")
    assert f"done   network {RANGE}" in _init(third, etcd, *words)
    kept = "/etc/credstore/flanpyd.etcd-"
    assert third.run("stat", "-c", "%U %a", f"{kept}keyfile").stdout.split() == ["root", "600"]
    third.run("rm", "-r", "/root/tls/host.key")
    assert _changed(third, etcd) == []
    third.run("cp", f"{kept}keyfile", "/root/tls/host.key")
    third.run("sh", "-c", "echo >> /root/tls/ca.crt")
    assert f"{kept}cafile" in _changed(third, etcd, *words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--etcd", "http://192.0.2.1:2379"), "belongs to the network of"),
        (("--etcd", "ETCD", "--name", "x"), "--name is for the embedded store"),
        (("--etcd", "ETCD", "--cacert", "/none"), "--cacert '/none' cannot be read"),
        (("--etcd", "ETCD", "--backend", "host-gw"), "change it with 'flanpyctl network set'"),
        (("--key", "/none"), "--key is for an etcd of one's own"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    bare: SystemdLab, words: tuple[str, ...], text: str
) -> None:
    first, etcd = bare.hosts[0], bare.etcd.endpoints
    _init(first, etcd)
    settings = first.read("/etc/default/flanpyd")
    given = [etcd if word == "ETCD" else word for word in words]
    done = first.run("flanpyctl", "cluster", "init", RANGE, *given, check=False)
    assert done.returncode != 0, done
    (line,) = done.stderr.splitlines()
    assert text in line
    assert first.read("/etc/default/flanpyd") == settings
