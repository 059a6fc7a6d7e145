"""Network mode on a real dockerd: made without a restart, kept, made again only when nobody has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flanpy.cli.base.exits import Exit
from tests.docker.conftest import Wired

pytestmark = [pytest.mark.netns, pytest.mark.lab]


def apply(wired: Wired, *words: str) -> dict[str, Any]:
    done = wired.ctl("apply", "--mode", "network", "-o", "json", *words)
    assert done.returncode == Exit.OK, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_network_is_made_on_our_subnet_without_a_restart_and_resolves_names(wired: Wired) -> None:
    pid, file = wired.engine.pid, wired.file
    assert wired.ctl("status", "--mode", "network").returncode == Exit.UNHEALTHY
    assert json.loads(wired.ctl("plan", "--mode", "network", "-o", "json").stdout)["step"] == "create"
    assert apply(wired)["step"] == "create"
    assert apply(wired)["step"] == "keep"
    assert wired.ctl("status", "--mode", "network").returncode == Exit.OK
    web = wired.engine.run_container("web", "--network", "flanpy")
    job = wired.engine.run_container("job", "--network", "flanpy", "--network-alias", "worker")
    assert web.address("flanpy").startswith("10.50.7.")
    assert web.exec("cat", "/sys/class/net/eth0/mtu").stdout == "1450\n"
    for name in ("job", "worker"):
        assert job.address("flanpy") in web.exec("ping", "-c", "1", "-w", "30", name).stdout
    assert "10.50.7.1/24" in wired.host.run("ip", "-4", "addr", "show", "flanpy0").stdout
    assert "10.50.7.0/24" not in wired.host.run("iptables", "-t", "nat", "-S", "POSTROUTING").stdout
    assert (wired.engine.pid, wired.file) == (pid, file)


def test_network_that_containers_have_is_left_and_they_are_named(wired: Wired) -> None:
    apply(wired)
    running = wired.engine.run_container("running", "--network", "flanpy")
    stopped = wired.engine.run_container("stopped", "--network", "flanpy")
    wired.engine.docker("stop", "stopped")
    wired.lease(mtu=1400)
    done = wired.ctl("apply", "--mode", "network")
    assert done.returncode == Exit.CONFLICT
    assert "held by running, stopped" in done.stderr
    assert json.loads(wired.ctl("status", "-o", "json").stdout)["reason"] == "MTUDiffers"
    running.remove()
    assert wired.ctl("apply", "--mode", "network").returncode == Exit.CONFLICT
    assert wired.ctl("rollback", "--mode", "network").returncode == Exit.CONFLICT
    stopped.remove()
    said = apply(wired)
    assert (said["step"], said["differences"]) == (
        "recreate",
        ["com.docker.network.driver.mtu 1450, needs 1400"],
    )
    new = wired.engine.run_container("new", "--network", "flanpy")
    assert new.exec("cat", "/sys/class/net/eth0/mtu").stdout == "1400\n"
    new.remove()
    assert wired.ctl("rollback", "--mode", "network").returncode == Exit.OK
    assert "no network" in wired.ctl("rollback", "--mode", "network").stdout


def test_network_of_somebody_else_is_named_and_left(wired: Wired) -> None:
    wired.engine.docker("network", "create", "--subnet", "10.77.0.0/24", "flanpy")
    done = wired.ctl("apply", "--mode", "network")
    assert done.returncode == Exit.CONFLICT
    assert "not flanpy's" in done.stderr
    assert wired.ctl("rollback", "--mode", "network").returncode == Exit.CONFLICT
    assert wired.engine.inspect("network", "flanpy")["IPAM"]["Config"][0]["Subnet"] == "10.77.0.0/24"


def test_network_on_a_range_that_docker_has_already_is_refused_with_its_cure(wired: Wired) -> None:
    wired.engine.docker("network", "create", "--subnet", "10.50.7.128/25", "mine")
    done = wired.ctl("apply", "--mode", "network")
    assert done.returncode == Exit.CONFLICT
    assert "overlaps" in done.stderr


def test_bip_mode_is_refused_while_the_network_has_the_subnet(wired: Wired) -> None:
    apply(wired)
    done = wired.ctl("apply", "--mode", "bip", "--restart", "always")
    assert done.returncode == Exit.CONFLICT
    assert "'flanpy'" in done.stderr
