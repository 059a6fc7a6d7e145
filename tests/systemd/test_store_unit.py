"""The embedded store as the how-to has it: a service of its own on one host, then with TLS for several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.net.claim import PROJECT_ROOT
from tests.lab.overlay import eventually
from tests.systemd.looks import DEADLINE_S

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

PAGE = PROJECT_ROOT / "docs/howto/embedded-store.md"
PLAIN = "--etcd-endpoints=http://127.0.0.1:2379"
NETWORK = "10.77.0.0/16"


def block(containing: str) -> str:
    """Return the page's commands with this text."""
    (found,) = [
        each for each in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if containing in each
    ]
    return str(found)


@pytest.fixture
def host(lab: SystemdLab) -> Iterator[SystemdHost]:
    one = lab.hosts[0]
    yield one
    made = " ".join(f"/etc/credstore/{name}.*" for name in ("flanpy-store", "ca", "store", "host"))
    left = f"/var/lib/flanpy-store /root/store.db /etc/default/flanpy-store {made}"
    one.run("sh", "-c", f"systemctl disable --now flanpy-store; rm -rf {left}")


def test_store_serves_one_host_is_restored_and_comes_back_after_a_kill(host: SystemdHost) -> None:
    host.run("systemctl", "enable", "--now", "flanpy-store")
    host.run("flanpyctl", "network", "init", NETWORK, "--force", PLAIN)
    assert host.run("stat", "-c", "%U %a", "/var/lib/flanpy-store").stdout.split() == ["flanpy-store", "700"]
    host.run("flanpyctl", "store", "backup", "/root/store.db", PLAIN)

    host.run("systemctl", "kill", "-s", "KILL", "flanpy-store")
    eventually(
        lambda: NETWORK in show(host, PLAIN), lambda: host.journal("flanpy-store"), deadline=DEADLINE_S
    )
    host.run("flanpyctl", "network", "set", "--force", "-", PLAIN, stdin='{"Network": "10.78.0.0/16"}')
    host.run("systemctl", "stop", "flanpy-store")
    host.run("flanpyctl", "store", "restore", "/root/store.db")
    host.run("systemctl", "start", "flanpy-store")
    eventually(
        lambda: NETWORK in show(host, PLAIN), lambda: host.journal("flanpy-store"), deadline=DEADLINE_S
    )
    owners = set(host.run("find", "/var/lib/flanpy-store", "-printf", "%u\\n").stdout.split())
    assert owners == {"flanpy-store"}


def test_store_serves_other_hosts_by_certificate_alone(lab: SystemdLab, host: SystemdHost) -> None:
    host.run("bash", "-euc", block("issue store").replace("192.0.2.10", host.address))
    other = lab.hosts[1]
    for name in ("ca.crt", "host.crt", "host.key"):
        other.path(f"/root/{name}").write_bytes(host.path(f"/etc/credstore/{name}").read_bytes())
    tls = (f"--etcd-endpoints=https://{host.address}:2379", "--etcd-cafile=/root/ca.crt")
    own = ("--etcd-certfile=/root/host.crt", "--etcd-keyfile=/root/host.key")
    try:
        other.run("flanpyctl", "network", "init", NETWORK, "--force", *tls, *own)
        assert NETWORK in show(other, *tls, *own)
        assert NETWORK not in show(other, *tls)
        assert NETWORK not in show(other, f"--etcd-endpoints=http://{host.address}:2379")
    finally:
        for name in ("ca.crt", "host.crt", "host.key"):
            Path(other.path(f"/root/{name}")).unlink(missing_ok=True)


def show(host: SystemdHost, *words: str) -> str:
    """Return what a host reads of the network config, or the error."""
    done = host.run("flanpyctl", "network", "show", *words, check=False)
    return str(done.stdout + done.stderr)
