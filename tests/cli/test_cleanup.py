"""`flanpyctl cleanup` on real kernels in namespaces of our own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanpy.cli.base.exits import Exit
from flanpy.host import lock, state_file, subnet_env
from flanpy.model.lease import SubnetKey
from tests.cli.conftest import Ctl, Ended
from tests.cli.stand_in import standing_in
from tests.netns import Namespace, namespace

pytestmark = pytest.mark.netns

SUBNET = IPv4Network("10.50.1.0/24")
OURS = (
    "ip link del flannel.1",
    "ip route del 10.50.9.0/24 via 192.0.2.9 dev under proto 70",
)


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace that looks as if a daemon had run there, with things of others beside."""

    here: Namespace
    ctl: Ctl

    def __call__(self, *words: str) -> Ended:
        return self.here.do(lambda: self.ctl("cleanup", *words))

    @property
    def files(self) -> list[Path]:
        root = self.ctl.run_dir
        return [
            root / "subnet.env",
            root / "state" / state_file.FILE_NAME,
            root / "flanpyd.sock",
            root / lock.FILE_NAME,
        ]

    def picture(self) -> tuple[object, ...]:
        """All links and routes that are there."""
        links = sorted(link["ifname"] for link in self.here.json("link show"))
        return (links, [(route["dst"], route["dev"]) for route in self.here.json("route show")])


FOREIGN = (["lo", "peer", "under", "vxlan5"], [("10.50.77.0/24", "under"), ("192.0.2.0/24", "under")])


@pytest.fixture
def host(ctl: Ctl) -> Iterator[Host]:
    with namespace("cleanup") as here:
        for line in (
            "link add under type veth peer name peer",
            "link set peer up",
            "addr add 192.0.2.1/24 dev under",
            "link set under up",
            "link add flannel.1 type vxlan id 1 dev under local 192.0.2.1 dstport 8472 nolearning",
            "link set flannel.1 alias flanpy",
            "link set flannel.1 up",
            "addr add 10.50.1.0/32 dev flannel.1",
            "neigh add 10.50.2.0 lladdr 02:00:5e:10:00:02 dev flannel.1 nud permanent",
            "route add 10.50.2.0/24 via 10.50.2.0 dev flannel.1 onlink proto 70",
            "route add 10.50.9.0/24 via 192.0.2.9 dev under proto 70",
            "link add vxlan5 type vxlan id 5 dev under dstport 4789",
            "route add 10.50.77.0/24 via 192.0.2.77 dev under",
        ):
            here.ip(line)
        here.bridge("fdb add 02:00:5e:10:00:02 dev flannel.1 dst 192.0.2.2 self permanent")
        _write_files(ctl.run_dir)
        yield Host(here, ctl)


def _write_files(root: Path, *, subnet: IPv4Network = SUBNET) -> None:
    saved = state_file.SavedLease(
        key=SubnetKey(SUBNET),
        lease_id=7,
        revision=8,
        node_id="node-1",
        network_config="{}",
        public_ip=IPv4Address("192.0.2.1"),
        saved_at=0.0,
    )
    state_file.save(root / "state", saved)
    env = subnet_env.SubnetEnv(network=IPv4Network("10.50.0.0/16"), subnet=subnet, mtu=1450)
    subnet_env.write(root / "subnet.env", env)
    (root / lock.FILE_NAME).touch()


def test_cleanup_removes_exactly_what_is_ours(host: Host) -> None:
    ended = host("--yes")
    assert (ended.code, ended.err) == (0, "")
    assert host.picture() == FOREIGN
    assert [path for path in host.files if path.exists()] == []
    assert not (host.ctl.run_dir / "state").exists()
    assert host.ctl.run_dir.exists(), "our settings file is in it"
    assert ended.out.splitlines()[-1] == "removed: 5 objects"


def test_cleanup_shows_what_it_is_going_to_remove_and_a_dry_run_stops_there(host: Host) -> None:
    before = host.picture()
    ended = host("--dry-run")
    assert ended.code == 0
    assert sorted(ended.out.splitlines()) == sorted(
        [*OURS, *(f"rm {path}" for path in host.files if path.exists())]
    )
    assert host.picture() == before
    assert host.files[0].exists()


def test_cleanup_can_be_repeated_and_then_finds_nothing(host: Host) -> None:
    assert host("--yes").code == 0
    again = host("--yes")
    assert (again.code, again.out) == (0, "nothing of ours is here\n")


def test_cleanup_goes_on_where_an_interrupted_one_stopped(host: Host) -> None:
    host.here.ip("link del flannel.1")
    host.files[0].unlink()
    assert host("--yes").code == 0
    assert host.picture() == FOREIGN
    assert [path for path in host.files if path.exists()] == []


def test_cleanup_leaves_an_unmarked_device_of_flannel(host: Host) -> None:
    host.here.run("ip", "link", "set", "flannel.1", "alias", "")
    assert host("--yes").code == 0
    assert "flannel.1" in host.picture()[0]  # type: ignore[operator]


def test_cleanup_leaves_a_subnet_file_of_another_subnet(host: Host) -> None:
    _write_files(host.ctl.run_dir, subnet=IPv4Network("10.50.200.0/24"))
    assert host("--yes").code == 0
    assert host.files[0].exists()


def test_cleanup_runs_no_command_of_the_service_users_file_and_names_what_it_left(host: Host) -> None:
    """C1: extension.json belongs to the unprivileged user; who could write it was root at the next cleanup."""
    root = host.ctl.run_dir
    row = {"subnets": ["10.50.9.0/24"], "public_ips": ["10.99.1.9"], "told": "", "add": []}
    command = ["/bin/sh", "-c", f"id > {root}/PWNED"]
    (root / "extension.json").write_text(json.dumps({"printed": None, "ran": [row | {"remove": command}]}))
    ended = host("--yes")
    assert (ended.code, (root / "PWNED").exists()) == (0, False)
    assert ended.err == (
        f"not run for 1 peer, as extension-command does not name it: \"/bin/sh -c 'id > {root}/PWNED'\"\n"
    )
    assert not (root / "extension.json").exists()


def test_cleanup_shows_and_runs_a_command_that_the_settings_name(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = host.ctl.run_dir
    monkeypatch.setenv("FLANPYD_EXTENSION_COMMAND", f"/usr/bin/touch {root}/ran")
    row = {"subnets": ["10.50.9.0/24"], "public_ips": ["10.99.1.9"], "told": "", "add": []}
    row |= {"remove": ["/usr/bin/touch", f"{root}/ran"]}
    (root / "extension.json").write_text(json.dumps({"printed": None, "ran": [row]}))
    shown = f"SUBNET=10.50.9.0/24 PUBLIC_IP=10.99.1.9 /usr/bin/touch {root}/ran"
    assert shown in host("--dry-run").out.splitlines()
    assert not (root / "ran").exists()
    assert (host("--yes").code, (root / "ran").exists()) == (0, True)


def test_cleanup_exits_7_while_a_daemon_runs(host: Host) -> None:
    before = host.picture()
    with lock.RunLock.acquire(host.ctl.run_dir, node_id="node-1"):
        ended = host("--yes")
    assert ended.code == 7
    assert "--force" in ended.err
    assert host.picture() == before


def test_cleanup_with_force_removes_kernel_objects_and_keeps_the_running_daemons_files(host: Host) -> None:
    with lock.RunLock.acquire(host.ctl.run_dir, node_id="node-1"), standing_in(host.ctl.run_dir):
        assert host("--yes", "--force").code == 0
        assert host.picture() == FOREIGN
        assert [path.exists() for path in host.files] == [False, True, True, True]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 7), ("\n", 7), ("", 7)])
def test_cleanup_asks_on_a_terminal(
    answer: str, code: int, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    before = host.picture()
    assert host().code == code
    assert (host.picture() == before) == (code == 7)


def test_cleanup_exits_7_without_a_terminal_to_ask_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    before = host.picture()
    ended = host()
    assert ended.code == 7
    assert "--yes" in ended.err
    assert host.picture() == before


def test_cleanup_takes_the_resolver_out_of_dockers_file_and_leaves_the_rest_of_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = host.ctl.run_dir / "docker" / "daemon.json"
    file.parent.mkdir()
    ours = {"debug": True, "bip": "10.50.1.1/24", "dns": ["169.254.53.53", "192.0.2.1"]}
    file.write_text(json.dumps(ours))
    monkeypatch.setenv("FLANPYD_DOCKER_CONFIG_FILE", str(file))
    line = f"take 169.254.53.53 out of dns in {file}"
    assert line not in host("--dry-run").out, "without a backup it is the operator's own"
    file.with_name("daemon.json.flanpy-backup").write_text('{"debug": true}')
    assert line in host("--dry-run").out.splitlines()
    assert json.loads(file.read_text()) == ours
    done = host("--yes")
    assert (done.code, "once it is restarted" in done.out) == (Exit.OK, True), done.err
    assert json.loads(file.read_text()) == {"debug": True, "bip": "10.50.1.1/24"}
    assert "nothing of ours" in host("--yes").out
