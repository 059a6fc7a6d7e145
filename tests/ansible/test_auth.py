"""The role's users of etcd, made by its script on a real etcd: any password, twice the same, and none to be seen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.etcd.cluster import etcd_binary
from tests.ansible.controller import COLLECTIONS
from tests.etcd_server import EtcdCluster

pytestmark = pytest.mark.etcd

SCRIPT = COLLECTIONS / "ansible_collections/flanpy/overlay/roles/etcd/files/auth.sh"
PREFIX = "/coreos.com/network"
ROOT, USER, LATER = "r00t:of-all", "pass#1'word$", "another-one%"


@dataclass(frozen=True)
class Ctl:
    """An etcdctl that writes down each command line before it runs."""

    cluster: EtcdCluster
    program: Path
    seen: Path

    def set_up(self, root: str, user: str, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(SCRIPT), *flags],
            input=f"{root}\n{user}", capture_output=True, text=True, check=False, timeout=60,
            env={
                "PATH": "/usr/bin:/bin", "ETCDCTL": str(self.program), "ETCDCTL_API": "3",
                "ETCDCTL_ENDPOINTS": self.cluster.urls[0], "NAME": "flanpy", "PREFIX": PREFIX,
            },
        )  # fmt: skip

    def may_write(self, user: str, password: str, key: str) -> bool:
        argv = [str(self.program), f"--endpoints={self.cluster.urls[0]}", "put", key, "1"]
        env = {"ETCDCTL_API": "3", "ETCDCTL_USER": f"{user}:{password}"}
        return subprocess.run(argv, env=env, capture_output=True, check=False, timeout=60).returncode == 0


@pytest.fixture(scope="module")
def ctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ctl]:
    directory = tmp_path_factory.mktemp("ctl")
    program, seen = directory / "etcdctl", directory / "seen"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {seen}\nexec {etcd_binary("etcdctl")} "$@"\n')
    program.chmod(0o755)
    with EtcdCluster.started() as cluster:
        yield Ctl(cluster, program, seen)


def test_users_are_made_once_and_no_password_is_part_of_a_command_line(ctl: Ctl) -> None:
    assert ctl.set_up(ROOT, USER, "--dry-run").stdout == "changed: etcd asks for users\n"
    made = ctl.set_up(ROOT, USER)
    assert (made.returncode, made.stdout) == (0, "changed: etcd asks for users\n"), made.stderr
    assert ctl.set_up(ROOT, USER).stdout == ""
    assert ctl.may_write("flanpy", USER, f"{PREFIX}/config")
    assert not ctl.may_write("flanpy", USER, "/elsewhere")
    assert ctl.may_write("root", ROOT, "/elsewhere")
    changed = ctl.set_up(ROOT, LATER)
    assert (changed.returncode, changed.stdout) == (0, "changed: user flanpy\n"), changed.stderr
    assert ctl.may_write("flanpy", LATER, f"{PREFIX}/config")
    refused = ctl.set_up("wrong", "wrong")
    assert refused.returncode == 1
    assert "does not take flanpy_etcd_root_password" in refused.stderr
    lines = ctl.seen.read_text()
    assert "user add" in lines
    assert [word for word in (ROOT, USER, LATER) if word in lines] == []
