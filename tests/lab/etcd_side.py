"""The parts that tests of etcd and lease faults look at: keys as etcd holds them, traffic that must not notice,
log and CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.lab import ETCD_PREFIX, Container, Entry, Host, Lab, LabError, Probe, flanpyctl
from tests.lab.overlay import DEADLINE_S, assert_settled, eventually, metric

SUBNETS = f"{ETCD_PREFIX}/subnets/"
CONFIG = f"{ETCD_PREFIX}/config"


def keys(lab: Lab) -> dict[str, Entry]:
    """Return every subnet key, by its last part."""
    return {entry.key.removeprefix(SUBNETS): entry for entry in lab.etcd.api.list(SUBNETS)}


def owned(lab: Lab, host: Host) -> Entry | None:
    """The key that says it is the host's."""
    return next((e for e in keys(lab).values() if _parsed(e).get("NodeID") == host.name), None)


def own_key(lab: Lab, host: Host) -> str:
    """The last part of the host's key; it must have one."""
    entry = owned(lab, host)
    assert entry is not None, f"{host.name} has no key: {sorted(keys(lab))}"
    return entry.key.removeprefix(SUBNETS)


def own_keys(lab: Lab) -> dict[str, str]:
    """The key of every host that has one, by host."""
    found = {_parsed(entry).get("NodeID"): key for key, entry in keys(lab).items()}
    return {host.name: found[host.name] for host in lab.hosts if host.name in found}


def _parsed(entry: Entry) -> dict[str, Any]:
    try:
        value = json.loads(entry.value)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def lease_value(
    public_ip: str, mac: str | None = "02:fa:00:00:00:01", *, node: str = "", **more: object
) -> str:
    """A vxlan lease's value as a host would write it; without a MAC, without BackendData."""
    value: dict[str, object] = {"PublicIP": public_ip, "PublicIPv6": None, "BackendType": "vxlan"}
    if mac is not None:
        value["BackendData"] = {"VNI": 1, "VtepMAC": mac}
    if node:
        value["NodeID"] = node
    return json.dumps(value | more)


def put(lab: Lab, key: str, value: str, *, ttl: int = 600) -> None:
    """Put a subnet key behind everybody's back, bound to an etcd lease of its own (`ttl` 0: to none)."""
    api = lab.etcd.api
    api.put(SUBNETS + key, value, lease=api.grant(ttl) if ttl else 0)


def delete(lab: Lab, key: str) -> None:
    """Delete a subnet key."""
    lab.etcd.api.delete(SUBNETS + key)


def route_to(host: Host, key: str) -> dict[str, Any] | None:
    """The host's route to the subnet of a key."""
    return host.routes().get(key.replace("-", "/"))


@contextmanager
def undisturbed(*pairs: tuple[Container, Container]) -> Iterator[None]:
    """Datagrams flow between the pairs all the while, and not one may be lost."""
    for one, other in pairs:
        assert one.ping(other, count=2, wait=10).ok
    probes = [Probe(one, other) for one, other in pairs]
    try:
        for probe in probes:
            probe.start()
            probe.wait_flowing()
        yield
        reports = [probe.stop() for probe in probes]
    finally:
        for probe in probes:
            probe.abort()
    for (one, other), report in zip(pairs, reports, strict=True):
        said = f"{one.name} -> {other.name}: {report}"
        assert report.received > 0, said
        assert report.lost == 0, said


def ring(lab: Lab) -> tuple[tuple[Container, Container], ...]:
    """Each container to the next, the last to the first."""
    containers = lab.containers
    return tuple(zip(containers, [*containers[1:], containers[0]], strict=True))


def cpu_seconds(pid: int) -> float:
    """User and system time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status(host: Host) -> dict[str, Any]:
    """`flanpyctl status -o json`; LabError while nobody answers."""
    text = ctl(host, "status", "-o", "json", check=False)
    if not text:
        raise LabError(f"{host.name}: no daemon answers")
    found: dict[str, Any] = json.loads(text)
    return found


def conditions(host: Host) -> dict[str, dict[str, Any]]:
    """Return every condition by type."""
    return {c["type"]: c for c in status(host)["conditions"]}


def ctl(host: Host, *words: str, check: bool = True) -> str:
    """Run flanpyctl on the host and return its output."""
    done = host.run(*flanpyctl(), *words, check=check)
    return done.stdout


def put_config(lab: Lab, **fields: object) -> None:
    """Put a network config: the lab's usual one with these fields changed."""
    lab.etcd.api.put(CONFIG, json.dumps({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}, **fields}))


PEER = "10.50.240.0-24"
"""A subnet for a peer that no host of the lab takes by chance in practice."""

MOST_LINES = 12
"""Of log for one outage; the promise is 20."""


def lines(host: Host) -> int:
    return len(host.daemon.log_text(all_starts=True).splitlines())


def stale(host: Host) -> bool:
    return metric(host, "flanpy_store_stale") == 1


def relistings(host: Host) -> list[dict[str, Any]]:
    """Return the events of listing the subnets again, with times and reasons."""
    return [line for line in host.daemon.events("watch_relisted") if line["prefix"] == SUBNETS]


def assert_followed(lab: Lab, key: str = PEER) -> None:
    """A lease put now is programmed on every host, then goes again."""
    put(lab, key, lease_value("10.99.16.240", "02:fa:00:00:00:40"))
    for host in lab.hosts:
        on_each([host], lambda host: route_to(host, key), f"{host.name} follows etcd", deadline=20)
    delete(lab, key)
    assert_settled(lab, deadline=20)


def on_each(
    hosts: Iterable[Host], holds: Callable[[Host], object], what: str, *, deadline: float = DEADLINE_S
) -> None:
    """`eventually` on one host after the other."""
    for host in hosts:
        eventually(lambda one=host: holds(one), what, deadline=deadline)  # type: ignore[misc]
