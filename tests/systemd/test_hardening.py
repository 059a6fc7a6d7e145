"""The confined service on two hosts: what it may not, and that it carries packets of every backend all the same."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flanpy.files.environment_file import continued_comments, parse_environment
from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.lab import LabError
from tests.files.environment_texts import environment_texts
from tests.lab.overlay import eventually
from tests.systemd import rights
from tests.systemd.looks import DAEMON, DEADLINE_S, condition, set_network, wait_reach, wait_ready

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

KERNEL_UDP = "/usr/share/flanpy/kernel-udp.conf"
DROP_IN = "/etc/systemd/system/flanpyd.service.d/kernel-udp.conf"
UNIT = "/usr/lib/systemd/system/flanpyd.service"
RIGHTS_UNIT = "/run/systemd/system/rights.service"
OVERLAY = "flannel.1"
FOREIGN = "192.0.2.0/24"
TUNNEL = "flannel0"
RESTART = f"systemctl daemon-reload && systemctl restart {DAEMON}"

Pair = tuple[SystemdHost, SystemdHost]


@pytest.fixture
def hosts(lab: SystemdLab) -> Pair:
    """Both, with a daemon that is ready."""
    for host in lab.hosts:
        wait_ready(host)
    one, two = lab.hosts
    return one, two


def test_service_can_do_its_work_and_nothing_else(hosts: Pair) -> None:
    host = hosts[0]
    host.write("/usr/local/lib/rights.py", Path(rights.__file__).read_text())
    unit = host.read(UNIT)
    for ours, theirs in (
        ("ExecStart=/usr/bin/flanpyd", "ExecStart=/opt/flanpy/bin/python /usr/local/lib/rights.py"),
        ("Type=notify", "Type=oneshot"),
        ("Restart=always", "Restart=no"),
        ("WatchdogSec=30", ""),
    ):
        assert ours in unit
        unit = unit.replace(ours, theirs)
    host.write(RIGHTS_UNIT, unit)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", "rights.service")
    said = json.loads(host.run("journalctl", "-b", "-u", "rights", "-o", "cat", "-t", "python").stdout)
    assert (said["forbidden"], said["refused"]) == ([], [])
    assert said["uid"] == int(host.run("id", "-u", "flanpy").stdout)
    as_root = json.loads(host.run("/opt/flanpy/bin/python", "/usr/local/lib/rights.py").stdout)
    assert {*rights.FORBIDDEN} - {
        *as_root["forbidden"]
    } == set()  # the deeds are well chosen: root can do them


def test_flanpy_user_cannot_log_in_or_talk_to_docker(hosts: Pair) -> None:
    host = hosts[0]
    eventually(
        lambda: condition(host, "DockerConsistent") == "Unknown SocketForbidden",
        lambda: condition(host, "DockerConsistent"),
        deadline=DEADLINE_S,
    )
    assert "Consistent  True" in host.run("flanpyctl", "docker", "status").stdout
    entry = host.run("getent", "passwd", "flanpy").stdout.strip()
    assert entry.endswith(":/usr/sbin/nologin")
    assert host.run("id", "-nG", "flanpy").stdout.split() == ["flanpy"]
    with pytest.raises(LabError):
        host.run_as("flanpy", "docker", "ps")
    with pytest.raises(LabError):
        host.run_as("flanpy", "ip", "link", "add", "own", "type", "bridge")


def test_udp_carries_packets_by_either_plane_when_the_service_is_confined(
    lab: SystemdLab, hosts: Pair
) -> None:
    set_network(lab, Type="udp")
    try:
        _wait_plane(hosts, "user")
        wait_reach(*hosts)
        for host in hosts:
            host.write(DROP_IN, host.read(KERNEL_UDP))
        _restart(hosts)
        _wait_plane(hosts, "kernel")
        wait_reach(*hosts)
    finally:
        set_network(lab, Type="vxlan")
        for host in hosts:
            host.path(DROP_IN).unlink(missing_ok=True)
        _restart(hosts)
    eventually(
        lambda: not any(host.has_link(TUNNEL) for host in hosts), f"{TUNNEL} is gone", deadline=DEADLINE_S
    )
    wait_reach(*hosts)


def _restart(hosts: Pair) -> None:
    """Both at once."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda host: host.run("sh", "-c", RESTART, timeout=120), hosts):
            pass


def _wait_plane(hosts: Pair, plane: str) -> None:
    def all_so() -> bool:
        return all(host.has_link(TUNNEL) and _plane(host) == plane for host in hosts)

    eventually(all_so, lambda: f"{plane}: {[_plane(host) for host in hosts]}", deadline=2 * DEADLINE_S)


def _plane(host: SystemdHost) -> str:
    """Return the plane that carries packets: the kernel's filters at the device, or the process alone."""
    shown = host.run("tc", "filter", "show", "dev", TUNNEL, "egress", check=False).stdout
    return "kernel" if "bpf" in shown else "user"


def test_udev_leaves_the_devices_alone(hosts: Pair) -> None:
    host = hosts[0]
    host.run("udevadm", "settle", "--timeout=30")
    told = host.run("udevadm", "info", f"/sys/class/net/{OVERLAY}").stdout
    assert "ID_NET_LINK_FILE=/usr/lib/systemd/network/10-flanpy.link" in told.replace("=/lib/", "=/usr/lib/")
    mac = host.ip_json("link", "show", OVERLAY)[0]["address"]
    host.run("udevadm", "trigger", "--action=add", f"/sys/class/net/{OVERLAY}")
    host.run("udevadm", "settle", "--timeout=30")
    assert host.ip_json("link", "show", OVERLAY)[0]["address"] == mac


def test_networkd_leaves_devices_and_routes_alone(hosts: Pair) -> None:
    host = hosts[0]
    address = f"[Match]\nName=eth0\n[Network]\nAddress={host.address}/16\nGateway=10.99.0.1\n"
    host.write("/etc/systemd/network/50-eth0.network", address)
    try:
        host.run("systemctl", "start", "systemd-networkd")
        host.run("ip", "route", "add", FOREIGN, "via", hosts[1].address, "proto", "99")
        host.run("systemctl", "restart", "systemd-networkd")
        eventually(lambda: "configured" in _networkctl(host, "eth0"), lambda: _networkctl(host, "eth0"),
                   deadline=DEADLINE_S)  # fmt: skip
        eventually(lambda: "unmanaged" in _networkctl(host, OVERLAY), lambda: _networkctl(host, OVERLAY),
                   deadline=DEADLINE_S)  # fmt: skip
        assert FOREIGN in host.routes()
    finally:
        host.run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd", check=False)
        host.run("ip", "route", "del", FOREIGN, check=False)
    wait_reach(*hosts)


def _networkctl(host: SystemdHost, link: str) -> str:
    rows = host.run("networkctl", "list", "--no-legend", "--no-pager", link, check=False).stdout
    return " ".join(rows.split())


def test_network_manager_leaves_the_devices_alone(hosts: Pair) -> None:
    host = hosts[1]
    host.run("systemctl", "unmask", "NetworkManager.service")
    try:
        host.run("systemctl", "start", "NetworkManager.service")

        def states() -> dict[str, str]:
            rows = host.run("nmcli", "-t", "-f", "DEVICE,STATE", "device").stdout.split()
            return dict(row.split(":", 1) for row in rows if ":" in row)

        eventually(lambda: states().get(OVERLAY) == "unmanaged", lambda: str(states()), deadline=DEADLINE_S)
        assert states()["eth0"] != "unmanaged"  # it is NetworkManager's business what we did not name
    finally:
        host.run("systemctl", "stop", "NetworkManager.service", check=False)
    wait_reach(*hosts)


def test_environment_files_are_read_as_systemd_itself_reads_them(hosts: Pair) -> None:
    host, _ = hosts
    texts = environment_texts(60, seed=29)
    for number, text in enumerate(texts):
        host.write(f"/run/texts/{number}", text)
    run = "systemd-run -q --wait -p EnvironmentFile=-$f sh -c 'env -0 > /run/texts/'$(basename $f).env"
    host.run("sh", "-c", f"for f in /run/texts/*; do {run}; done", timeout=120)
    for number, text in enumerate(texts):
        said = [pair.partition("=") for pair in host.read(f"/run/texts/{number}.env").split("\0")]
        wanted = {name: value for name, _, value in said if name.startswith("TEST_")}
        ours = {n: v for n, v in parse_environment(text.encode()).items() if n.startswith("TEST_")}
        assert ours == wanted, text


def test_comment_with_a_backslash_is_named_where_systemds_differ(hosts: Pair) -> None:
    host, _ = hosts
    text = "# ends in \\\nTEST_A=1\nTEST_B=2\n"
    host.write("/run/comment", text)
    host.run(
        "systemd-run", "-q", "--wait", "-p", "EnvironmentFile=/run/comment", "sh", "-c", "env > /run/said"
    )
    said = [name for name in ("TEST_A", "TEST_B") if f"{name}=" in host.read("/run/said")]
    version = int(host.run("systemctl", "--version").stdout.split()[1])
    assert said == (["TEST_A", "TEST_B"] if version >= 254 else ["TEST_B"])
    assert continued_comments(text.encode()) == (1,)
