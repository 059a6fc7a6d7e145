"""Containers that come by CNI: Debian's bridge plugin with the file that the page on CNI writes, between two hosts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.hosts.container import ping
from integration.lab import Host
from integration.net.claim import PROJECT_ROOT
from integration.net.namespaces import run
from integration.pages import commands
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PLUGINS = Path("/usr/lib/cni")
PAGE = PROJECT_ROOT / "docs/howto/cni.md"


def _configured(host: Host, directory: Path) -> dict[str, Any]:
    """Type the page's block, with this host's files, and return what a runtime makes of the file for the plugin."""
    (block,) = [one for one in commands(PAGE.read_text()) if one.elsewhere == "tests/lab/test_cni.py"]
    target = directory / host.name / "10-flanpy.conflist"
    text = block.text.replace("/run/flannel/subnet.env", str(host.daemon.subnet_path))
    run(["sh", "-ec", text.replace("/etc/cni/net.d/10-flanpy.conflist", str(target))])
    listed = json.loads(target.read_text())
    (plugin,) = listed["plugins"]
    plugin["ipam"]["dataDir"] = str(directory / host.name)  # which is /var/lib/cni on a real host
    return {"cniVersion": listed["cniVersion"], "name": listed["name"], **plugin}


def _call(host: Host, verb: str, namespace: str, config: dict[str, Any]) -> str:
    words = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": namespace,
        "CNI_NETNS": f"/run/netns/{namespace}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(PLUGINS),
    }
    told = [f"{name}={value}" for name, value in words.items()]
    return host.run("env", *told, str(PLUGINS / config["type"]), stdin=json.dumps(config)).stdout


@contextmanager
def _container(host: Host, directory: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the host a container by CNI: its namespace, its address and its network as the plugin was told."""
    config, namespace = _configured(host, directory), f"{host.namespace}-cni"
    run(["ip", "netns", "add", namespace])
    try:
        answer = json.loads(_call(host, "ADD", namespace, config))
        yield namespace, answer["ips"][0]["address"].partition("/")[0], config
        _call(host, "DEL", namespace, config)
    finally:
        run(["ip", "netns", "del", namespace])


def test_containers_that_come_by_cni_reach_each_other_over_the_overlay(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    assert shutil.which("bridge", path=str(PLUGINS)), "no CNI plugins here: run `make setup`"
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    one, two = lab.hosts
    with _container(one, tmp_path) as (space, address, config), _container(two, tmp_path) as (_, other, _):
        own = one.subnet_file
        assert config["mtu"] == own.mtu
        assert config["ipMasq"] is not own.ipmasq
        assert address in map(str, own.subnet.network)
        eventually(lambda: ping(space, other).ok, f"{address} reaches {other}", deadline=15.0)
        assert ping(space, other, size=own.mtu - 28).ok
        assert not ping(space, other, size=own.mtu - 27).ok
