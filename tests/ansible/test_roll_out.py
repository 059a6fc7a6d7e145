"""Bare hosts get an etcd of three members, flanpyd and a wired Docker, are verified, upgraded, and given back.

Each test builds on the hosts as the tests before left them, and asks its fixtures for what it cannot do without.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration import package
from integration.hosts.container import Container
from integration.hosts.engines.image import IMAGE
from integration.hosts.systemd.host import SystemdHost
from integration.net.waiting import wait_until
from integration.traffic.pairs import Stream
from tests.ansible.conftest import operated
from tests.ansible.controller import COLLECTIONS, Controller, Played
from tests.ansible.traces import Traces, traces_of

SCENARIO = COLLECTIONS / "ansible_collections/flanpy/overlay/extensions"
pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.timeout(1800)]

PASSWORDS = {"flanpy_etcd_password": "pass#1'word$"}
"""root's is made by the role."""
LONGEST_GAP_MS = 1000.0
_ASK = """
import ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.load_cert_chain(sys.argv[2], sys.argv[3])
print(urllib.request.urlopen(sys.argv[1], context=context, timeout=10).read())
"""


@dataclass(frozen=True)
class Site:
    """Hosts after the first roll-out; what was on them before it and after check mode, and what both said."""

    controller: Controller
    before: dict[str, Traces]
    checked: Played
    after_check: dict[str, Traces]
    rolled_out: Played

    @property
    def members(self) -> tuple[SystemdHost, ...]:
        """Those with an etcd."""
        return self.controller.lab.hosts

    @property
    def hosts(self) -> tuple[SystemdHost, ...]:
        """Those with flanpyd; they have an etcd, too."""
        return self.members[:2]

    def containers(self) -> list[Container]:
        """One on each host, made again."""
        for host in self.hosts:
            host.docker.remove_containers()
        return [host.docker.run_container(f"on-{host.name}") for host in self.hosts]


@pytest.fixture(scope="module")
def site(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with operated(3, tmp_path_factory.mktemp("operator")) as controller:
        hosts = controller.lab.hosts
        controller.write_inventory(
            {"flanpy": hosts[:2], "flanpy_etcd": hosts},
            {
                "flanpyd_package": str(deb),
                "flanpyd_network": "10.50.0.0/16",
                "flanpy_verify_image": IMAGE,
                # molecule has a directory of its own for what it takes for its inventory's
                "flanpy_etcd_pki_dir": str(controller.directory / "pki"),
                **PASSWORDS,
            },
        )
        for host in hosts[:2]:
            host.docker.load_image()
        before = {host.name: traces_of(host) for host in hosts}
        told = controller.play("site", "--check", flanpy_serial=2)
        after = {host.name: traces_of(host) for host in hosts}
        yield Site(controller, before, told, after, molecule(controller))


def molecule(controller: Controller) -> Played:
    """The collection's own scenario: the site play, once more with nothing to change, and the verify play."""
    return controller.run(
        "molecule", "test", cwd=SCENARIO,
        FLANPY_INVENTORY=str(controller.inventory), MOLECULE_EPHEMERAL_DIRECTORY=str(controller.directory / "molecule"),
    )  # fmt: skip


def test_molecule_scenario_rolls_out_changes_nothing_the_second_time_and_verifies(site: Site) -> None:
    assert site.rolled_out.code == 0, site.rolled_out.text[-6000:]
    assert "every pair of 2 hosts is well" in site.rolled_out.text
    assert site.rolled_out.total("changed") == 0


def test_site_play_brings_bare_hosts_to_containers_that_reach_each_other(site: Site) -> None:
    one, other = site.containers()
    assert one.ping(other.address).ok, site.rolled_out.text[-3000:]
    assert other.ping(one.address).ok, site.rolled_out.text[-3000:]
    for host in site.hosts:
        assert host.docker.bridge_network()[0].startswith("10.50.")
        assert host.failed_units() == []
        assert host.unit("flanpyd.service", "User")["User"] == "flanpy"


def test_check_mode_on_bare_hosts_foretells_the_changes_and_makes_none(site: Site) -> None:
    assert "Write its settings" in site.checked.changes()
    assert site.checked.total("failed") == 0
    for name, after in site.after_check.items():
        assert after - site.before[name] == Traces()
        assert site.before[name] - after == Traces()


def test_etcd_of_the_role_refuses_whoever_has_no_certificate_or_another_password(site: Site) -> None:
    host = site.hosts[0]
    url = f"https://{host.address}:2379"
    key = "/coreos.com/network/config"
    ca = "--cacert=/etc/flanpy-etcd/ca.pem"
    pair = ("--cert=/etc/flanpy-etcd/cert.pem", "--key=/etc/flanpy-etcd/key.pem")

    def get(*words: str) -> subprocess.CompletedProcess[str]:
        return host.run(
            "env",
            "ETCDCTL_API=3",
            "etcdctl",
            f"--endpoints={url}",
            "--command-timeout=5s",
            *words,
            "get",
            key,
            check=False,
        )

    assert get(ca, *pair, f"--user=flanpy:{PASSWORDS['flanpy_etcd_password']}").returncode == 0
    assert "permission denied" in get(ca, *pair).stderr
    assert "invalid user ID or password" in get(ca, *pair, "--user=flanpy:wrong").stderr
    assert get(ca, f"--user=flanpy:{PASSWORDS['flanpy_etcd_password']}").returncode != 0
    elsewhere = host.run(
        "env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={url}", ca, *pair,
        f"--user=flanpy:{PASSWORDS['flanpy_etcd_password']}", "put", "/elsewhere", "1", check=False,
    )  # fmt: skip
    assert "permission denied" in elsewhere.stderr


def test_certificate_of_a_host_opens_no_port_of_members(site: Site) -> None:
    host, other = site.hosts
    store = "/etc/credstore/flanpyd.etcd-"
    client = ("--cert", f"{store}certfile", "--key", f"{store}keyfile")
    member = ("--cert", "/etc/flanpy-etcd/peer-cert.pem", "--key", "/etc/flanpy-etcd/peer-key.pem")

    def asks(port: int, path: str, *pair: str) -> bool:
        url = f"https://{other.address}:{port}{path}"
        done = host.run("sh", "-c", f"python3 - {url} {pair[1]} {pair[3]} <<'END'\n{_ASK}END", check=False)
        return done.returncode == 0

    assert asks(2380, "/members", *member)
    assert not asks(2380, "/members", *client)
    assert asks(2379, "/version", *client)
    assert not asks(2379, "/version", *member)


def test_check_mode_tells_of_a_change_and_makes_none(site: Site) -> None:
    before = {host.name: host.read("/etc/flanpy/flanpyd.toml") for host in site.hosts}
    pids = {host.name: host.unit("flanpyd.service", "MainPID") for host in site.hosts}
    wanted = {"flanpyd_settings": {"log-level": "debug"}, "flanpy_etcd_renew": True}
    told = site.controller.play("site", "--check", "-vvv", flanpy_serial=2, **wanted)
    root = (site.controller.directory / "pki/etcd-root-password").read_text().strip()
    assert "Set users and passwords up" in told.text
    assert [word for word in (root, PASSWORDS["flanpy_etcd_password"]) if word in told.text] == []
    assert "Write the settings" in told.changes()
    assert "Issue the certificate where it is due" in told.changes()
    assert {host.name: host.read("/etc/flanpy/flanpyd.toml") for host in site.hosts} == before
    assert {host.name: host.unit("flanpyd.service", "MainPID") for host in site.hosts} == pids


def test_settings_that_flanpyd_would_not_start_with_are_refused_before_they_are_written(site: Site) -> None:
    h2 = site.hosts[1]
    before = h2.read("/etc/flanpy/flanpyd.toml")
    refused = site.controller.try_play("site", "--limit=h2", flanpyd_settings={"log-levle": "debug"})
    assert refused.code != 0
    assert "log-level" in refused.text
    assert h2.read("/etc/flanpy/flanpyd.toml") == before
    assert h2.is_active("flanpyd.service")


def test_verify_play_names_the_pair_when_a_link_is_cut(site: Site) -> None:
    # etcd is on h1: only the overlay's own packets are lost, so that ssh still gets through
    h1, h2 = site.hosts
    h2.run("nft", "add table inet cut; add chain inet cut in { type filter hook prerouting priority -400; };"
           " add rule inet cut in udp dport 8472 drop")  # fmt: skip
    try:
        cut = site.controller.try_play("verify")
    finally:
        h2.run("nft", "delete table inet cut")
    assert cut.code != 0
    said = [line for line in cut.text.splitlines() if " broken: " in line and '"msg"' in line]
    assert len(said) == 1, cut.text[-3000:]
    assert f"container of {h1.name} -> container of {h2.name}" in said[0]
    for host in site.hosts:
        assert host.docker("ps", "-aq", "--filter", "name=flanpy-verify").stdout == ""


def test_expired_certificate_is_named_in_status_and_rotation_cures_it_under_a_running_stream(
    site: Site,
) -> None:
    h2 = site.hosts[1]
    subnet = own_subnet(h2)
    let_expire(site.controller.directory / "pki", f"flanpyd-{h2.name}", h2)
    h2.run("systemctl", "restart", "--no-block", "flanpyd.service")
    said = "our client certificate, which expired on 20"
    wait_until(lambda: said in status_text(h2), "status tells of the certificate", deadline=30)
    assert "renew etcd-certfile" in status_text(h2)
    one, other = site.containers()
    serial = served_serial(site.hosts[0])
    with Stream(one, other) as stream:
        stream.wait_flowing()
        site.controller.play("site", flanpy_serial=2, flanpy_etcd_renew=True)
        stream.mark()
        report = stream.stop()
    assert report.whole
    assert report.longest_gap_ms < LONGEST_GAP_MS, report
    assert served_serial(site.hosts[0]) != serial
    for host in site.hosts:
        wait_until(lambda host=host: said not in status_text(host), "etcd is in reach", deadline=30)  # type: ignore[misc]
    assert own_subnet(h2) == subnet


def test_upgrade_play_keeps_streams_without_a_gap_of_a_second(site: Site, deb: Path, tmp_path: Path) -> None:
    version = f"{package_version(deb)}+next1"
    newer = package.as_version(deb, version, tmp_path)
    one, other = site.containers()
    pids = [host.unit("flanpyd.service", "MainPID") for host in site.hosts]
    with Stream(one, other) as stream:
        stream.wait_flowing()
        site.controller.play("upgrade", flanpyd_package=str(newer))
        stream.mark()
        report = stream.stop()
    assert report.whole
    assert report.longest_gap_ms < LONGEST_GAP_MS, report
    for host, pid in zip(site.hosts, pids, strict=True):
        installed = host.run("dpkg-query", "--show", "--showformat=${Version}", "flanpy").stdout
        assert installed == version
        assert host.unit("flanpyd.service", "MainPID") != pid


def test_uninstall_play_leaves_nothing(site: Site) -> None:
    """And nothing of a host that is gone opens the etcd of those that stay."""
    for host in site.hosts:
        host.docker.remove_containers()
    gone, there = site.hosts[1], site.members[2]
    kept = {name: gone.read(f"/etc/credstore/flanpyd.etcd-{name}") for name in ("certfile", "keyfile")}
    site.controller.play("uninstall", "--limit=h2")
    for name, text in kept.items():
        there.write(f"/root/gone-{name}", text, mode=0o600)
    script = f"python3 - https://{there.address}:2379/version /root/gone-certfile /root/gone-keyfile <<'END'\n{_ASK}END"
    assert there.run("sh", "-c", script, check=False).returncode != 0
    wait_until(lambda: status_text(site.hosts[0]) != "", "the other host still answers", deadline=30)
    site.controller.play("uninstall", flanpy_serial=2)
    for host in site.members:
        assert traces_of(host) - site.before[host.name] == Traces()
    for host in site.hosts:
        assert host.is_active("docker.service")


def package_version(deb: Path) -> str:
    shown = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Version"], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


def own_subnet(host: SystemdHost) -> str:
    said = json.loads(host.run("flanpyctl", "status", "-o", "json", check=False).stdout)
    return str(said["own"]["subnet"])


def status_text(host: SystemdHost) -> str:
    """Return the status text for an operator; empty while the daemon does not answer."""
    return host.run("flanpyctl", "status", check=False).stdout


def served_serial(host: SystemdHost) -> str:
    """The number of the certificate that etcd shows now."""
    shown = host.run("openssl", "s_client", "-connect", f"{host.address}:2379", check=False).stdout
    return subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, text=True, check=True
    ).stdout


def let_expire(pki: Path, name: str, host: SystemdHost) -> None:
    """The controller's certificate of that name, and the host's copy of it, ended yesterday."""
    request = subprocess.run(
        ["openssl", "req", "-new", "-key", str(pki / f"{name}-key.pem"), "-subj", "/O=flanpy/OU=late"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    subprocess.run(
        ["openssl", "x509", "-req", "-days", "-1", "-set_serial", "7", "-CA", str(pki / "ca.pem"),
         "-CAkey", str(pki / "ca-key.pem"), "-out", str(pki / f"{name}.pem")],
        input=request, capture_output=True, check=True,
    )  # fmt: skip
    host.write("/etc/credstore/flanpyd.etcd-certfile", (pki / f"{name}.pem").read_text(), mode=0o600)
