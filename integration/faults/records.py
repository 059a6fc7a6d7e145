"""Owns what is wrong in etcd: P16, P18, P20, P21, P26, P28, P29.

Keys are written as another host, or a person, would.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.etcd.api import ETCD_PREFIX, Entry
from integration.etcd.peers import simulated_peers, write_peers
from integration.faults.filters import frozen
from integration.faults.links import HEALED_S
from integration.faults.problem import NETWORK, Stage, Struck
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

SUBNETS = f"{ETCD_PREFIX}/subnets/"
THRESHOLD = "net/ipv4/neigh/default/gc_thresh3"
_STRANGE_MAC = "02:fa:00:00:00:01"


def _value(public_ip: str, *, node: str = "", backend: str = "vxlan") -> str:
    said = {"PublicIP": public_ip, "PublicIPv6": None, "BackendType": backend}
    more = {"BackendData": {"VNI": 1, "VtepMAC": _STRANGE_MAC}} if backend == "vxlan" else {}
    return json.dumps(said | more | ({"NodeID": node} if node else {}))


def _free(stage: Stage, place: int) -> str:
    """A subnet key near the end of the network that no host holds."""
    taken = {entry.key for entry in stage.etcd.api.list(SUBNETS)}
    return next(key for n in range(place, 0, -1) if SUBNETS + (key := f"10.50.{n}.0-24") not in taken)


@contextmanager
def _key(stage: Stage, key: str, value: str) -> Iterator[None]:
    stage.etcd.api.put(SUBNETS + key, value)
    try:
        yield
    finally:
        stage.etcd.api.delete(SUBNETS + key)


def _stands(stage: Stage, key: str, value: str) -> bool:
    entry = stage.etcd.api.get(SUBNETS + key)
    return entry is not None and entry.value == value


def poison(stage: Stage) -> Iterator[Struck]:
    """P16: one value that is no lease."""
    key = _free(stage, 241)
    with _key(stage, key, "{garbage"):
        yield Struck(stage.hosts[0], (key,), lambda: _stands(stage, key, "{garbage"))


def gateway_is_far(stage: Stage) -> Iterator[Struck]:
    """P18: a host-gw peer behind a router."""
    key, value = _free(stage, 242), _value("10.98.1.9", node="far", backend="host-gw")
    with _key(stage, key, value):
        yield Struck(stage.hosts[0], ("far", "10.98.1.9"), lambda: _stands(stage, key, value))


def address_is_shared(stage: Stage) -> Iterator[Struck]:
    """P21: a cloned machine advertises this host's address."""
    host = stage.hosts[0]
    key, value = _free(stage, 243), _value(host.address, node="twin")
    with _key(stage, key, value):
        yield Struck(host, (host.address, "twin"), lambda: _stands(stage, key, value))


def _own(stage: Stage, host: Host) -> Entry | None:
    """The lease that names the host."""
    found = stage.etcd.api.list(SUBNETS)
    return next((entry for entry in found if f'"{host.name}"' in entry.value), None)


def subnet_is_taken(stage: Stage) -> Iterator[Struck]:
    """P26: while the host hung its lease ended, and another one took the subnet."""
    host = stage.hosts[0]
    mine = _own(stage, host)
    if mine is None:
        raise LabError(f"{host.name} has no lease that could be taken")
    key, value = mine.key.removeprefix(SUBNETS), _value("10.99.16.26", node="thief")
    with frozen(host):
        if mine.lease:
            stage.etcd.api.revoke(mine.lease)
        stage.etcd.api.put(SUBNETS + key, value)
    try:
        yield Struck(host, ("thief",), lambda: _stands(stage, key, value))
    finally:
        stage.etcd.api.delete(SUBNETS + key)
        wait_until(
            lambda: _own(stage, host) is not None, f"{host.name} takes its subnet back", deadline=HEALED_S
        )


def neighbours_overflow(stage: Stage) -> Iterator[Struck]:
    """P20: more peers than the neighbour table may have entries; the limit is the machine's, so peers are many."""
    host = stage.hosts[0]
    limit = _threshold()
    lease = write_peers(stage.etcd.api, simulated_peers(limit + 20, network="10.48.0.0/12"))
    try:
        yield Struck(host, ("gc_thresh3", str(limit)), lambda: len(stage.etcd.api.list(SUBNETS)) > limit)
    finally:
        stage.etcd.api.revoke(lease)


def _threshold() -> int:
    """Namespaces share the machine's, so it is never changed here."""
    return int(Path("/proc/sys", THRESHOLD).read_text())


def subnets_run_out(stage: Stage) -> Iterator[Struck]:
    """P28: the network's last subnets are leased to others."""
    taken = {entry.key for entry in stage.etcd.api.list(SUBNETS)}
    peers = [peer for peer in simulated_peers(3, network=NETWORK, first=1) if SUBNETS + peer.key not in taken]
    lease = write_peers(stage.etcd.api, peers)
    try:
        yield Struck(stage.hosts[0], ("0 of 3",), lambda: len(stage.etcd.api.list(SUBNETS)) == 3)
    finally:
        stage.etcd.api.revoke(lease)


def reservation_is_missed(stage: Stage) -> Iterator[Struck]:
    """P29: another subnet than the one it holds is reserved for this host."""
    host = stage.hosts[0]
    key = _free(stage, 244)
    value = json.dumps({"PublicIP": host.address, "PublicIPv6": None, "NodeID": host.name})
    with _key(stage, key, value):
        yield Struck(host, (key.partition("-")[0],), lambda: _stands(stage, key, value))
