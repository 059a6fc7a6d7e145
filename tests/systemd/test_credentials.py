"""An etcd with certificates and passwords: its users' secrets are root's files, and only the service gets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.lab import LabError
from tests.lab.overlay import eventually
from tests.systemd.conftest import installed
from tests.systemd.looks import DAEMON, DEADLINE_S, condition, main_pid, subnet_env, wait_ready
from tests.systemd.secured_etcd import PASSWORD, USER, SecuredEtcd, secured

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

STORE = "/etc/credstore"


@pytest.fixture(scope="module")
def lab(layer: Path) -> Iterator[SystemdLab]:
    """One host that has not booted yet."""
    with installed(layer, hosts=1) as lab:
        yield lab


@pytest.fixture(scope="module")
def etcd(lab: SystemdLab) -> Iterator[SecuredEtcd]:
    """It asks for a certificate and a password."""
    with secured(lab) as etcd:
        yield etcd


@pytest.fixture(scope="module")
def host(lab: SystemdLab, etcd: SecuredEtcd) -> SystemdHost:
    """The host with everything in the credential store, booted."""
    host = lab.hosts[0]
    settings = f'etcd-endpoints = "{etcd.endpoint}"\netcd-username = "{USER}"\niface = "eth0"\n'
    host.write("/etc/flanpy/flanpyd.toml", settings)
    _store(host, "etcd-cafile", etcd.ca)
    _store(host, "etcd-password", PASSWORD + "\n")
    _store_certificate(host, etcd, "first")
    host.boot()
    return host


def _store(host: SystemdHost, name: str, content: str) -> None:
    host.write(f"{STORE}/flanpyd.{name}", content, mode=0o600)


def _store_certificate(host: SystemdHost, etcd: SecuredEtcd, name: str) -> None:
    certificate, key = etcd.certificate(name)
    _store(host, "etcd-certfile", certificate)
    _store(host, "etcd-keyfile", key)


def test_daemon_leases_a_subnet_when_its_secrets_are_in_the_store(
    host: SystemdHost, etcd: SecuredEtcd
) -> None:
    wait_ready(host)
    eventually(lambda: condition(host, "DatastoreReachable") == "True Connected",
               lambda: condition(host, "DatastoreReachable"), deadline=DEADLINE_S)  # fmt: skip
    assert subnet_env(host)["FLANNEL_SUBNET"].removesuffix(".1/24") in etcd.ctl("get", "--prefix", "/")


def test_secrets_are_nobody_elses(host: SystemdHost) -> None:
    pid = main_pid(host)
    for name in ("etcd-password", "etcd-keyfile"):
        with pytest.raises(LabError, match="Permission denied"):
            host.run_as("flanpy", "cat", f"{STORE}/flanpyd.{name}")
        with pytest.raises(LabError, match="Permission denied"):
            host.run_as("nobody", "cat", f"/proc/{pid}/root/run/credentials/{DAEMON}/flanpyd.{name}")
    shown = host.run("flanpyctl", "config", "show").stdout
    assert PASSWORD not in shown + host.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline").stdout
    assert f"credential /run/credentials/{DAEMON}/flanpyd.etcd-password" in " ".join(shown.split())


def test_root_needs_no_flags_when_etcd_itself_is_asked(host: SystemdHost) -> None:
    assert subnet_env(host)["FLANNEL_SUBNET"].replace(".1/24", ".0/24") in host.run(
        "flanpyctl", "subnets", "--etcd"
    ).stdout  # fmt: skip


def test_renewed_certificate_is_used_after_a_restart(host: SystemdHost, etcd: SecuredEtcd) -> None:
    before = subnet_env(host)
    _store_certificate(host, etcd, "second")
    host.run("systemctl", "restart", DAEMON)
    wait_ready(host)
    eventually(lambda: condition(host, "DatastoreReachable") == "True Connected",
               lambda: condition(host, "DatastoreReachable"), deadline=DEADLINE_S)  # fmt: skip
    assert host.read(f"/run/credentials/{DAEMON}/flanpyd.etcd-certfile") == etcd.directory.joinpath(
        "second.crt"
    ).read_text()  # fmt: skip
    assert subnet_env(host) == before


def test_wrong_password_is_told_and_taken_back_without_giving_up(host: SystemdHost) -> None:
    before = subnet_env(host)
    _store(host, "etcd-password", "wrong\n")
    host.run("systemctl", "restart", DAEMON)
    eventually(lambda: condition(host, "DatastoreReachable").startswith("False"),
               lambda: condition(host, "DatastoreReachable"), deadline=DEADLINE_S)  # fmt: skip
    _store(host, "etcd-password", PASSWORD + "\n")
    host.run("systemctl", "restart", DAEMON)
    eventually(lambda: condition(host, "DatastoreReachable") == "True Connected",
               lambda: condition(host, "DatastoreReachable"), deadline=DEADLINE_S)  # fmt: skip
    assert subnet_env(host) == before
