"""Root never acts on what the service's user can write: every file of that user, under every command that root runs.

Each file is replaced by content that asks for the most, a link to a file of root's, a pipe, a directory, or a second
name of root's file; then each command runs. Nothing that the files name is run, nothing outside is written, removed or
shown, dockerd gets no flag, and nothing hangs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipapp
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from flanpy.cli.tree import build
from tests.cli.stand_in import STATUS, standing_in
from tests.faults.written_files import WRITERS
from tests.hostile.root_side import COMMANDS, DIRECTORIES, OF_ROOT, SCRIPTS, SERVICE_FILES, SUBNET
from tests.netns import Namespace, namespace

ROOT = Path(__file__).parents[2]
SERVICE_USER = 65534
SECRET = "only-root-may-read-this"
FLAGS = re.compile(r'DOCKER_OPT[A-Z_]*="( ?--(bip=[0-9./]+|mtu=[0-9]+|ip-masq=(true|false)))*"')


def _leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words)
    for action in below:
        for name, one in action.choices.items():
            yield from _leaves(one, (*words, name))


def test_every_command_is_in_the_list() -> None:
    assert set(_leaves(build())) == set(COMMANDS)


def test_every_file_of_the_service_user_is_in_the_list() -> None:
    """WRITERS is held complete by `tests/faults/test_write_refused.py`."""
    assert set(WRITERS.values()) - OF_ROOT == set(SERVICE_FILES)
    unit = (ROOT / "deploy/systemd/flanpyd.service").read_text()
    named = re.findall(r"^(Runtime|State|Cache|Logs|Configuration)Directory=(.*)$", unit, re.MULTILINE)
    above = {"Runtime": "/run", "State": "/var/lib"}
    assert {f"{above[kind]}/{name}" for kind, names in named for name in names.split()} == set(
        DIRECTORIES.values()
    )
    assert set(SERVICE_FILES.values()) == set(DIRECTORIES)


def test_every_script_that_root_runs_is_in_the_list() -> None:
    scripts = {
        path.name for path in (ROOT / "deploy/debian").iterdir() if path.name.startswith(("pre", "post"))
    }
    assert scripts == set(SCRIPTS)
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        for command in re.findall(r"^Exec\w+=(.*)$", unit.read_text(), re.MULTILINE):
            program, *words = command.split()
            user = "User=flanpy" in unit.read_text()
            known = {"cluster renew", "docker apply", "docker links", "docker names", "docker networks"}
            assert user or (program == "/usr/bin/flanpyctl" and " ".join(words[:2]) in known)


@dataclass(frozen=True, slots=True)
class Machine:
    """Directories of the service's user, one of root's, and one that root's commands write to."""

    root: Path

    @property
    def precious(self) -> Path:
        return self.root / "precious"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def trap(self) -> Path:
        return self.root / "trap"

    def place(self, name: str) -> Path:
        """Return the path at which the service has this file."""
        return self.root / SERVICE_FILES[name] / name

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "RUN_DIR": self.root / "run", "STATE_DIR": self.root / "state",
            "SUBNET_FILE": self.place("subnet.env"), "CONFIG": self.root / "flanpyd.toml",
            "ETCD_ENDPOINTS": "http://127.0.0.1:1", "DOCKER_MODE": "bip",
            "DOCKER_CONFIG_FILE": self.out / "daemon.json", "DOCKER_SOCKET": self.root / "none.sock",
        }  # fmt: skip
        names = {f"FLANPYD_{name}": str(value) for name, value in settings.items()}
        return {"PATH": os.environ["PATH"], "HOME": str(self.out), "PYTHONPATH": str(ROOT), **names}

    def kept(self) -> dict[str, object]:
        """Return all of root's own files, which must stay as they are."""
        found: dict[str, object] = {}
        for path in sorted(self.precious.rglob("*")):
            status = path.lstat()
            found[str(path)] = (
                status.st_mode, status.st_uid, status.st_mtime_ns, path.read_bytes() if path.is_file() else None,
            )  # fmt: skip
        return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine(Path(tempfile.mkdtemp(prefix="fproot-")))
    made.root.chmod(0o755)
    for name in ("precious", "out", *set(SERVICE_FILES.values())):
        (made.root / name).mkdir()
    (made.root / "flanpyd.toml").touch()
    (made.out / "network.json").write_text('{"Network": "10.50.0.0/16"}')
    for name, text in _asking(made).items():
        (made.precious / name).write_text(text + f"\n# {SECRET}\n")
        (made.precious / name).chmod(0o600)
    yield made
    shutil.rmtree(made.root)


def _asking(machine: Machine) -> dict[str, str]:
    """Return the content that asks root for the most, by file."""
    touch = ["/usr/bin/touch", str(machine.trap)]
    row = {"subnets": ["10.50.9.0/24"], "public_ips": ["192.0.2.9"], "told": "$(touch x)", "add": touch}
    lease = {
        "version": 1, "subnet": SUBNET, "subnet6": None, "lease_id": 1, "revision": 1, "node_id": "0" * 16,
        "network_config": "{}", "public_ip": "192.0.2.1", "public_ip6": None, "saved_at": 1.0,
    }  # fmt: skip
    return {
        "subnet.env": f"FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\n"
        f'DOCKER_OPT_X="-H tcp://0.0.0.0:2375"\nDOCKER_OPTS="-H tcp://0.0.0.0:2375"\nPATH={machine.root}\n',
        "cloud.json": json.dumps(
            {
                "routes": [
                    {
                        "backend": "aws-vpc",
                        "target": "../../x",
                        "subnet": "10.50.9.0/24",
                        "address": "192.0.2.9",
                    }
                ]
            }
        ),
        "lease.json": json.dumps(lease),
        "drained.json": json.dumps({"subnet": SUBNET, "since": 1.0}),
        "events.json": json.dumps(
            {"version": 1, "node_id": "0" * 16, "epoch": "$(touch x)", "newest": 1, "events": []}
        ),
        "networks.json": json.dumps(
            {"NodeID": "0" * 16, "Networks": [_network(machine)], "Missing": ["../../x"]}
        ),
        "names-view.json": json.dumps({"NodeID": "0" * 16, "Names": [["shop", "../../x", "$(touch x)", []]]}),
        "node-id": "0" * 16,
        "tunnel.json": json.dumps([["../../x", "10.50.9.0/24", "192.0.2.9", True]]),
        "extension.json": json.dumps({"printed": [touch, "x"], "ran": [row | {"remove": touch}]}),
        "offload.json": json.dumps({"links": [["../../x", "$(touch x)"]], "peers": ["$(touch x)"]}),
        "flanpyd.lock": "1 node",
        "flanpyd.sock": "",
    }


def _network(machine: Machine) -> dict[str, object]:
    return {
        "Name": "shop", "ID": f"$(touch {machine.trap})", "Subnet": "10.96.0.0/16", "SliceLen": 24, "VNI": 4097,
        "MTU": 1450, "Internal": False, "Slice": "10.96.1.0/24", "Members": ["192.0.2.9"],
    }  # fmt: skip


def _replace(machine: Machine, kind: str) -> None:
    for name, text in _asking(machine).items():
        _put(machine, name, text, kind)
    for directory in map(machine.root.joinpath, DIRECTORIES):
        for path in (directory, *directory.rglob("*")):
            if kind != "second name" or path.is_dir():
                os.chown(path, SERVICE_USER, SERVICE_USER, follow_symlinks=False)


def _put(machine: Machine, name: str, text: str, kind: str) -> None:
    path = machine.place(name)
    match kind:
        case "content" | "answers":
            path.write_text(text)
        case "flags":
            path.write_text(text)
            if name == "subnet.env":
                path.write_text('FLANNEL_SUBNET="10.50.7.1/24 -H tcp://0.0.0.0:2375"\nFLANNEL_MTU="1 -D"\n')
        case "link":
            path.symlink_to(machine.precious / name)
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
            (path / "full").touch()
        case _:
            os.link(machine.precious / name, path)


def _answers(machine: Machine) -> dict[str, Any]:
    """Of a daemon that the user has taken over: names of files and links that lead elsewhere."""
    links = ["../../core/somaxconn=4321", "..", "lo"]
    bad = {
        "type": "HostTuned",
        "status": "False",
        "healthy": False,
        "reason": "StrictReversePath",
        "message": "x",
    }
    status = {
        **STATUS, "conditions": [bad], "tuning": {"reverse_path": {"strict": links}},
        "own": {"subnet": "198.18.77.0/24"},
    }  # fmt: skip
    named = {
        "subnet-file": "subnet.env",
        "run-dir": "",
        "docker-config-file": "lease.json",
        "etcd-cafile": "node-id",
    }
    config = [
        {"name": name, "value": str(machine.precious / file), "origin": "flag"}
        for name, file in named.items()
    ]
    return {
        "status": status, "config": config, "subnets": {"subnets": []}, "peers": {"peers": []}, "probe": {"peers": []},
        "diff": {}, "events": {"events": []}, "mesh": {}, "reload": {}, "drain": {"drained": True, "changed": True},
    }  # fmt: skip


def _run_all(machine: Machine, here: Namespace, commands: list[str]) -> list[dict[str, Any]]:
    lines = [[*name.split(), *COMMANDS[name].format(out=machine.out).split()] for name in commands]
    done = subprocess.run(
        ["nsenter", f"--net={here.path}", "--", sys.executable, "-m", "tests.hostile.root_side"],
        input=json.dumps(lines), env=machine.environment, cwd=ROOT,
        capture_output=True, text=True, timeout=500, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout))


@pytest.mark.netns
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["content", "flags", "answers", "link", "pipe", "directory", "second name"])
def test_no_command_of_root_acts_on_a_file_of_the_service_user(machine: Machine, kind: str) -> None:
    _replace(machine, kind)
    if kind == "answers":
        machine.place("flanpyd.sock").unlink()
    before = machine.kept()
    with namespace("rootside") as here:
        here.ip("link set lo up")
        with standing_in(machine.root / "run") if kind == "answers" else nullcontext() as daemon:
            if daemon is not None:
                daemon.answers = _answers(machine)
            ended = _run_all(machine, here, list(COMMANDS))
            print(
                *[
                    (
                        o["words"][:30],
                        o["code"] if isinstance(o["code"], int) else o["code"][-300:],
                        o["err"][:150],
                        o["out"][:80] if o["words"].startswith(("drain", "cleanup", "doctor")) else "",
                    )
                    for o in ended
                ],
                sep="\n",
            )
        assert here.sysctl("net/core/somaxconn") != "4321"
    assert [one for one in ended if str(one["code"]).startswith("hangs")] == []
    if kind != "answers":  # a document of another shape may end a command, but with nothing done
        assert [one for one in ended if not isinstance(one["code"], int)] == []
    assert not machine.trap.exists()
    assert machine.kept() == before
    assert SECRET not in json.dumps(ended)
    assert {path.name for path in machine.root.iterdir()} <= {"precious", "out", "flanpyd.toml", *DIRECTORIES}
    _assert_written_for_root(machine)


def _assert_written_for_root(machine: Machine) -> None:
    """Check what root wrote for dockerd and for support: no word of the service's user but a subnet, an MTU and
    a switch."""
    opts = machine.out / "docker_opts.env"
    for line in opts.read_text().splitlines() if opts.exists() else ():
        assert FLAGS.fullmatch(line), line
    settings = machine.out / "daemon.json"
    assert set(json.loads(settings.read_text()) if settings.exists() else {}) <= {"bip", "mtu", "ip-masq"}
    with tarfile.open(machine.out / "diag.tar.gz") as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is None or SECRET.encode() not in file.read()


LIFE = """set -e
cp -a /etc {root}/etc
mount --bind {root}/etc /etc
for place in /opt /run /var/lib /usr/share /usr/lib/sysusers.d /usr/lib/tmpfiles.d; do mount -t tmpfs tmpfs $place; done
mkdir -p /opt/flanpy/bin /opt/flanpy/lib/python3.{minor} /opt/flanpy/lib/python3/site-packages
ln -s python3 /opt/flanpy/bin/python
cp {deploy}/systemd/sysusers.conf /usr/lib/sysusers.d/flanpy.conf
cp {deploy}/systemd/tmpfiles.conf /usr/lib/tmpfiles.d/flanpy.conf
mkdir -p /usr/share/flanpy /run/flannel /run/flanpy /var/lib/flanpy
cp {root}/cleanup.pyz /usr/share/flanpy/
sh {deploy}/debian/postinst {postinst}
uid=$(id -u flanpy)
chown flanpy: /run/flannel /run/flanpy /var/lib/flanpy
cp -a {root}/subnet/. /run/flannel/
cp -a {root}/run/. /run/flanpy/
cp -a {root}/state/. /var/lib/flanpy/
chown -hR flanpy: /run/flannel /run/flanpy /var/lib/flanpy
sh {deploy}/debian/prerm {prerm}
as() {{ setpriv --reuid=$uid --clear-groups sh -c "$1" 2>/dev/null || true; }}
as 'mkdir -p /var/lib/flanpy/purge; cp {root}/evil.pyz /var/lib/flanpy/purge/cleanup.pyz'
as 'mv /var/lib/flanpy-purge /var/lib/flanpy-gone; mkdir /var/lib/flanpy-purge'
as 'cp {root}/evil.pyz /var/lib/flanpy-purge/cleanup.pyz; ln -sf {root}/evil.pyz /var/lib/flanpy-purge/'
stat -c '%a %U' /var/lib/flanpy-purge
sh {deploy}/debian/postrm {postrm}
ls -d /var/lib/flanpy* /run/flanpy* 2>/dev/null || true
! getent passwd flanpy
"""
"""A package's life on directories of its own: what the scripts touch lies on mounts that end with this shell."""


def _system_minor() -> str:
    """Return the second number of the Python version that the scripts of the package choose."""
    asked = ["/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _cleanup_archive(machine: Machine) -> None:
    """Make the archive as `deploy/debian/build.sh` makes it, and one of the service's user."""
    work = machine.root / "archive"
    site = Path(structlog.__file__).parents[1]
    for name, source in (("flanpy", ROOT), ("pyroute2", site), ("structlog", site)):
        shutil.copytree(source / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "deploy/debian/cleanup.py", work / "__main__.py")
    zipapp.create_archive(work, machine.root / "cleanup.pyz")
    evil = machine.root / "evil"
    evil.mkdir()
    (evil / "__main__.py").write_text(f"open({str(machine.trap)!r}, 'w')\n")
    zipapp.create_archive(evil, machine.root / "evil.pyz")


@pytest.mark.netns
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["content", "link", "pipe", "directory"])
def test_no_script_of_the_package_acts_on_a_file_of_the_service_user(machine: Machine, kind: str) -> None:
    _replace(machine, kind)
    _cleanup_archive(machine)
    machine.trap.parent.chmod(0o777)  # so that the user's own program could tell that it ran
    before = machine.kept()
    script = LIFE.format(root=machine.root, deploy=ROOT / "deploy", minor=_system_minor(), **SCRIPTS)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", script],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "700 root"
    assert [line for line in done.stdout.splitlines() if line.startswith("/")] == []
    assert kind != "content" or "could not be removed" not in done.stderr
    assert not machine.trap.exists()
    assert machine.kept() == before
