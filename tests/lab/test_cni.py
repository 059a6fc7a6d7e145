"""Containers that come by CNI: Debian's bridge plugin with the file that the page on CNI writes, between two hosts."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.hosts.container import ping
from integration.lab import Host
from integration.net.claim import PROJECT_ROOT
from integration.net.namespaces import in_namespace, run
from integration.pages import commands
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PLUGINS = Path("/usr/lib/cni")
PAGE = PROJECT_ROOT / "docs/howto/cni.md"


def _listed(host: Host, directory: Path) -> dict[str, Any]:
    """Type the page's block, with this host's files; the list of plugins that a runtime reads then."""
    (block,) = [one for one in commands(PAGE.read_text()) if one.elsewhere == "tests/lab/test_cni.py"]
    target = directory / host.name / "10-flanpy.conflist"
    text = block.text.replace("/run/flannel/subnet.env", str(host.daemon.subnet_path))
    run(["sh", "-ec", text.replace("/etc/cni/net.d/10-flanpy.conflist", str(target))])
    listed: dict[str, Any] = json.loads(target.read_text())
    listed["plugins"][0]["ipam"]["dataDir"] = str(
        directory / host.name
    )  # which is /var/lib/cni on a real host
    return listed


class _Runtime:
    """Calls each plugin of a list with what the one before it answered, as Nomad and nerdctl do (CNI 0.4.0)."""

    def __init__(self, host: Host, namespace: str, listed: dict[str, Any], ports: dict[int, int]) -> None:
        self._host, self._namespace, self._listed = host, namespace, listed
        self._mapped = [
            {"hostPort": outer, "containerPort": inner, "protocol": "tcp"} for outer, inner in ports.items()
        ]
        self.answer: dict[str, Any] | None = None

    def add(self) -> None:
        for plugin in self._listed["plugins"]:
            self.answer = json.loads(self._call("ADD", plugin))

    def delete(self) -> None:
        for plugin in reversed(self._listed["plugins"]):
            self._call("DEL", plugin)

    def _call(self, verb: str, plugin: dict[str, Any]) -> str:
        words = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": self._namespace,
            "CNI_NETNS": f"/run/netns/{self._namespace}",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(PLUGINS),
        }
        told = {"cniVersion": self._listed["cniVersion"], "name": self._listed["name"], **plugin}
        if plugin.get("capabilities", {}).get("portMappings"):
            told["runtimeConfig"] = {"portMappings": self._mapped}
        if self.answer is not None:
            told["prevResult"] = self.answer
        environment = [f"{name}={value}" for name, value in words.items()]
        return self._host.run(
            "env", *environment, str(PLUGINS / plugin["type"]), stdin=json.dumps(told)
        ).stdout


@contextmanager
def _container(
    host: Host, directory: Path, ports: dict[int, int] | None = None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the host a container by CNI: its namespace, its address and its network as the first plugin was told."""
    listed, namespace = _listed(host, directory), f"{host.namespace}-cni"
    run(["ip", "netns", "add", namespace])
    try:
        runtime = _Runtime(host, namespace, listed, ports or {})
        runtime.add()
        assert runtime.answer is not None
        yield namespace, runtime.answer["ips"][0]["address"].partition("/")[0], listed["plugins"][0]
        runtime.delete()
    finally:
        run(["ip", "netns", "del", namespace])


def _caller_seen(listener: socket.socket, caller: str, address: str, port: int) -> str:
    """Connect from a namespace to an address; the address that the listener sees."""
    with in_namespace(caller, lambda: socket.create_connection((address, port), timeout=10)):
        listener.settimeout(10)
        connection, peer = listener.accept()
        connection.close()
        return str(peer[0])


def test_containers_that_come_by_cni_reach_each_other_over_the_overlay(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    assert shutil.which("bridge", path=str(PLUGINS)), "no CNI plugins here: run `make setup`"
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    one, two = lab.hosts
    with (
        _container(one, tmp_path, {8080: 80}) as (space, address, config),
        _container(two, tmp_path) as (there, other, _),
    ):
        own = one.subnet_file
        assert config["mtu"] == own.mtu
        assert config["ipMasq"] is not own.ipmasq
        assert address in map(str, own.subnet.network)
        eventually(lambda: ping(space, other).ok, f"{address} reaches {other}", deadline=15.0)
        assert ping(space, other, size=own.mtu - 28).ok
        assert not ping(space, other, size=own.mtu - 27).ok
        with in_namespace(space, lambda: socket.create_server((address, 80))) as listener:
            assert _caller_seen(listener, there, address, 80) == other
            assert _caller_seen(listener, two.namespace, one.address, 8080) == two.address
