"""Every file that flanpy writes, how to write a first, a second version of it, and how to read it.

The daemon's, then those of flanpyctl. `WRITERS` names the modules that open, replace or remove files: a test holds the
list against the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from flanpy.cli.docker import opts
from flanpy.cli.repair import diag
from flanpy.cluster import copy, place
from flanpy.cluster.copy import Copy
from flanpy.cluster.place import Place
from flanpy.docker import config_file
from flanpy.host import (
    cloud_file,
    docker_refusals_file,
    drain_file,
    events_file,
    names_file,
    names_view_file,
    networks_file,
    node_id,
    state_file,
    subnet_env,
    tunnel_file,
    wireguard_key,
)
from flanpy.host.drain_file import Drained
from flanpy.host.extension import ExtensionPart
from flanpy.host.lock import RunLock
from flanpy.host.offload_file import OffloadFile
from flanpy.host.state_file import SavedLease
from flanpy.host.subnet_env import SubnetEnv
from flanpy.host.wireguard_key import KeyPair
from flanpy.model.cloud import CloudHere
from flanpy.model.event import Event, EventKind, History
from flanpy.model.lease import SubnetKey
from flanpy.model.networks.names import ToldNames
from flanpy.model.objects import ExtensionPeer, TunnelPeer
from flanpy.model.offload import Corruption, LinkDriver
from flanpy.model.ops import Put
from tests.names.test_table import box

WRITERS = {
    "flanpy/files/atomic.py": "whatever is written as a whole",
    "flanpy/host/cloud_file.py": "cloud.json",
    "flanpy/host/drain_file.py": "drained.json",
    "flanpy/host/events_file.py": "events.json",
    "flanpy/host/extension.py": "extension.json",
    "flanpy/host/lock.py": "flanpyd.lock",
    "flanpy/host/docker_refusals_file.py": "docker-refusals.json",
    "flanpy/host/names_file.py": "names.json",
    "flanpy/host/names_view_file.py": "names-view.json",
    "flanpy/host/networks_file.py": "networks.json",
    "flanpy/host/node_id.py": "node-id",
    "flanpy/host/offload_file.py": "offload.json",
    "flanpy/host/state_file.py": "lease.json",
    "flanpy/host/subnet_env.py": "subnet.env",
    "flanpy/host/tunnel_file.py": "tunnel.json",
    "flanpy/host/wireguard_key.py": "wgkey",
    "flanpy/status/http/server.py": "flanpyd.sock",
    "flanpy/docker/config_file.py": "daemon.json",
    "flanpy/docker/turn.py": "the links of containers",
    "flanpy/links/record.py": "the links of containers",
    "flanpy/cli/docker/opts.py": "docker_opts.env",
    "flanpy/cli/repair/diag.py": "diag.tar.gz",
    "flanpy/cli/leave/cleanup.py": "removes what the others wrote",
    "flanpy/host/sysctl.py": "/proc/sys",
    "flanpy/kernel/sysctl.py": "/proc/sys",
    "flanpy/cli/config/host_install.py": "units and their settings",
    "flanpy/cli/store/backup.py": "the embedded store's",
    "flanpy/storeserver/backup.py": "the embedded store's",
    "flanpy/storeserver/lock.py": "the embedded store's",
    "flanpy/cli/cluster/init.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/own_etcd.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/join.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/leave.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/places.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/renew.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/steps.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/move.py": "the cluster's keys and certificates",
    "flanpy/cli/cluster/promote.py": "the cluster's keys and certificates",
    "flanpy/cluster/copy.py": "store-copy.json",
    "flanpy/cluster/place.py": "store-place.json",
    "flanpy/cluster/authority.py": "the cluster's keys and certificates",
}
"""By module, what it writes."""

OTHERWISE = frozenset({
    "whatever is written as a whole", "removes what the others wrote", "/proc/sys",
    "the embedded store's",  # tests/storeserver/test_durable.py
    "units and their settings",  # by files/atomic.py
    "the cluster's keys and certificates",  # by files/atomic.py, and again by a second run: test_cluster.py
    "the links of containers",  # by files/atomic.py; tests/links
    "flanpyd.sock",  # test_process_host: a run directory that is read-only or full
})  # fmt: skip
"""What has no row in FILES."""


@dataclass(frozen=True, slots=True)
class Written:
    """`write` puts the version of that number into a directory.

    `keeps` is False where the old version is of no use after a failed write, `silent` names the faults of which the
    caller is told nothing, `cure` is what follows where a disk is full.
    """

    write: Callable[[Path, int], object]
    keeps: bool = True
    silent: frozenset[str] = frozenset()
    cure: str = "free some space there"


def _lease(number: int) -> SavedLease:
    return SavedLease(
        key=SubnetKey(IPv4Network(f"10.50.{number}.0/24")), lease_id=number, revision=number, node_id="n1",
        network_config='{"Network":"10.50.0.0/16"}', public_ip=IPv4Address("192.0.2.1"), saved_at=1.0,
    )  # fmt: skip


def _env(number: int) -> SubnetEnv:
    return SubnetEnv(
        network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network(f"10.50.{number}.0/24"), mtu=1450
    )


def _key(number: int) -> SubnetKey:
    return SubnetKey(IPv4Network(f"10.50.{number}.0/24"))


def _extension(directory: Path, number: int) -> object:
    """A peer's commands ran; what could not be kept is in the log, for the commands did run."""

    async def ran() -> object:
        peer = ExtensionPeer(_key(number), (IPv4Address("192.0.2.7"),), "told", ("true",), ("true",))
        return await ExtensionPart(directory).apply([Put(peer)])

    return asyncio.run(ran())


def _tunnel(directory: Path, number: int) -> None:
    peer = TunnelPeer("flannel0", IPv4Network(f"10.50.{number}.0/24"), IPv4Address("192.0.2.1"))
    tunnel_file.TunnelFile(directory).save([peer])


def _cloud(directory: Path, number: int) -> None:
    here = CloudHere("gce", "host-1", IPv4Network(f"10.50.{number}.0/24"), IPv4Address("192.0.2.1"))
    cloud_file.save(directory, [here])


def _networks(directory: Path, number: int) -> object:
    saved = networks_file.SavedNetworks("n1", missing=(f"fb-{number}",))
    return networks_file.save(directory, saved)


def _names(directory: Path, number: int) -> object:
    return names_file.save(directory / "names.json", {"shop": (box(f"c{number}", "10.96.1.2"),)})


def _docker_refusals(directory: Path, number: int) -> object:
    return docker_refusals_file.save(directory / "docker-refusals.json", {"shop": f"no {number}"})


def _names_view(directory: Path, number: int) -> object:
    return names_view_file.save(directory, "n1", (ToldNames("shop", f"n{number}"),))


def _store_copy(directory: Path, number: int) -> None:
    copy.save(directory, Copy(number, {"/coreos.com/network/config": (b"{}", 0)}))


def _store_place(directory: Path, number: int) -> None:
    place.remember(
        directory, Place(number=number, kind=place.EMBEDDED, endpoints=("https://192.0.2.1:2379",))
    )


def _wgkey(directory: Path, number: int) -> None:
    wireguard_key.put_back(directory, KeyPair(bytes([number] * 32)))


def _events(directory: Path, number: int) -> object:
    event = Event(number, 1.0, EventKind.PEER_JOINED, "web-2")
    return events_file.save(directory, History("e", number, (event,)), node_id="n1")


def _daemon_json(directory: Path, number: int) -> None:
    found = config_file.read(directory / "daemon.json")
    config_file.replace(found, b'{"bip": "10.50.%d.1/24"}\n' % number)


def _node_id(directory: Path, number: int) -> object:
    """Write a node id, which is written once only: the second goes to another directory."""
    state_dir = directory if number == 1 else directory / "other"
    return str(node_id.node_id(None, state_dir=state_dir, machine_id=directory / "none"))


def _lock(directory: Path, number: int) -> object:
    with RunLock.acquire(directory, node_id=f"n{number}"):
        return "locked"


FILES = {
    "wgkey": Written(_wgkey),
    "subnet.env": Written(lambda directory, n: subnet_env.write(directory / "subnet.env", _env(n))),
    "lease.json": Written(lambda directory, n: state_file.save(directory, _lease(n))),
    "tunnel.json": Written(_tunnel),
    "extension.json": Written(_extension, silent=frozenset({"full", "read-only"})),
    "cloud.json": Written(_cloud),
    "events.json": Written(_events),
    "docker-refusals.json": Written(_docker_refusals),
    "names.json": Written(_names),
    "names-view.json": Written(_names_view),
    "networks.json": Written(_networks),
    "store-copy.json": Written(_store_copy),
    "store-place.json": Written(_store_place),
    "offload.json": Written(
        lambda directory, n: OffloadFile(directory).save(Corruption((LinkDriver("eth0", "x"),), (f"n{n}",)))
    ),
    "drained.json": Written(lambda directory, n: drain_file.mark(directory, Drained(_key(n), float(n)))),
    "node-id": Written(_node_id),
    "flanpyd.lock": Written(_lock, keeps=False, silent=frozenset({"full"})),
    "daemon.json": Written(_daemon_json),
    "docker_opts.env": Written(
        lambda directory, n: opts.write(directory / "docker_opts.env", f'DOCKER_OPTS="{n}"\n')
    ),
    "diag.tar.gz": Written(
        lambda directory, n: diag._write(directory / "diag.tar.gz", bytes(20_000 * n)), keeps=False,
        cure="name another place with -f",
    ),
}  # fmt: skip
