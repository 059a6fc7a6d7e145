"""Hosts whose leases stand in a list, without any etcd; and a cluster that moves there and back under traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.lab import Host, flanpyctl, unreached
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import conditions, ring, undisturbed
from tests.lab.overlay import assert_settled, condition, eventually

pytestmark = pytest.mark.lab

NETWORK = {"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}


def row(host: Host, number: int) -> dict[str, str]:
    return {"name": host.name, "subnet": f"10.50.{number}.0/24", "address": str(host.address)}


def write(path: Path, *rows: dict[str, str]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"network": NETWORK, "hosts": rows}))
    fresh.replace(path)


def is_healthy(host: Host, kind: str) -> Callable[[], bool]:
    return lambda: bool(condition(host, kind)["healthy"])


def names_mistake(host: Host, mistake: str) -> Callable[[], bool]:
    return lambda: mistake in message(host, "DatastoreReachable")


def subnet_of(host: Host) -> str:
    return str(host.subnet_file.subnet.network)


def message(host: Host, kind: str) -> Any:
    return conditions(host)[kind]["message"]


def test_hosts_of_a_list_reach_each_other_without_etcd_and_follow_its_changes(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    lab = build_lab(3)
    lab.etcd.kill()
    one, two, three = lab.hosts
    path = tmp_path / "hosts.json"
    tmp_path.chmod(0o755)
    write(path, row(one, 1), row(two, 2))
    for host in (one, two):
        host.daemon.up(f"--leases-from={path}")
    assert [subnet_of(host) for host in (one, two)] == ["10.50.1.0/24", "10.50.2.0/24"]
    for host in (one, two):
        host.attach_container()
    eventually(lambda: unreached(lab.containers) == (), one.daemon.log_tail)

    three.daemon.launch(f"--leases-from={path}")
    eventually(
        lambda: f"no host of {path} is this one (node id {three.name}" in message(three, "LeaseValid"),
        three.daemon.log_tail,
    )
    with undisturbed(*ring(lab)):
        write(path, row(one, 1), row(two, 2), row(three, 3))
        three.daemon.wait_ready()
        path.write_text("{")
        for host in lab.hosts:
            eventually(names_mistake(host, f"{path}: line 1, column 2"), host.daemon.log_tail)
        told = one.run(*flanpyctl(), "doctor", check=False).stdout
        assert "P24  error: the list of hosts cannot be used" in told
        assert "mend the list" in told
        assert one.daemon.is_ready()
        write(path, row(one, 1), row(two, 2), row(three, 3))
        for host in lab.hosts:
            eventually(is_healthy(host, "DatastoreReachable"), host.daemon.log_tail)
    three.attach_container()
    eventually(lambda: unreached(lab.containers) == (), three.daemon.log_tail)


def test_cluster_moves_from_etcd_to_a_list_and_back_without_a_lost_datagram(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab)
    before = [subnet_of(host) for host in lab.hosts]
    path = tmp_path / "hosts.json"
    tmp_path.chmod(0o755)
    path.write_text(
        lab.hosts[0].run(*flanpyctl(), "subnets", "export", f"--etcd-endpoints={lab.etcd.endpoints}").stdout
    )
    with undisturbed(*ring(lab)):
        for host in lab.hosts:
            host.daemon.restart(f"--leases-from={path}")
        lab.etcd.kill()
        assert unreached(lab.containers) == ()
        refused = lab.hosts[0].run(
            "env", f"FLANPYD_LEASES_FROM={path}", *flanpyctl(), "subnets", "release", "own", check=False
        )
        assert f"the leases of this host come from {path}, not from etcd" in refused.stderr
        lab.etcd.start()
        for host in lab.hosts:
            host.daemon.restart()
    assert [subnet_of(host) for host in lab.hosts] == before
    assert_settled(lab)
