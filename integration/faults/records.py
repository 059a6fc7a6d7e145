"""Faults in etcd's data: churn, history forgotten, everything lost; poison, and what other hosts or people write.

Keys are written as another host, or a person, would.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from integration.etcd.api import ETCD_PREFIX, Entry, EtcdApi
from integration.etcd.peers import LEASE_TTL_S, Peer, simulated_peers, write_peers
from integration.faults.fault import HEALED_S, Evidence, Family, Fault, Part, Setting, StrikeContext
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until

SUBNETS = f"{ETCD_PREFIX}/subnets/"
THRESHOLD = "net/ipv4/neigh/default/gc_thresh3"
CROWD = 30
SEEN = "the watch on etcd"
_STRANGE_MAC = "02:fa:00:00:00:01"
_DAEMON = frozenset({Part.DAEMON})


def _free_peers(context: StrikeContext) -> list[Peer]:
    taken = {entry.key.rpartition("/")[2].partition("&")[0] for entry in context.api.list(SUBNETS)}
    first = context.choose(range(20, 61))
    return [
        peer
        for peer in simulated_peers(CROWD + 10, network=str(context.fabric.config["Network"]), first=first)
        if peer.key not in taken
    ][:CROWD]


def _write(context: StrikeContext, api: EtcdApi, peers: Sequence[Peer]) -> int:
    """Their leases, bound to one of etcd's, whose id is returned."""
    lease = api.grant(LEASE_TTL_S)
    api.put_all(((SUBNETS + peer.key, context.fabric.value(peer)) for peer in peers), lease=lease)
    return lease


def _churned(context: StrikeContext) -> Iterator[Evidence | None]:
    """Peers come, and go one by one."""
    peers = _free_peers(context)
    api = context.api
    lease = _write(context, api, peers)
    yield None
    for peer in peers[::2]:
        api.delete(SUBNETS + peer.key)
    api.revoke(lease)


def _compacted(context: StrikeContext) -> Iterator[Evidence | None]:
    """A host is torn off etcd, misses peers that come and go, and its place in the history is forgotten."""
    host = context.host
    rule = "chain out { type filter hook output priority 0; tcp dport 2379 reject with tcp reset; };"
    host.run("nft", "-f", "-", stdin=f"table inet chaos_no_etcd {{ {rule} }}\n")
    try:
        peers, api = _free_peers(context), context.api
        lease = _write(context, api, peers)
        yield None
        api.revoke(lease)
        api.compact()
    finally:
        host.run("nft", "delete", "table", "inet", "chaos_no_etcd", check=False)


def _wiped(context: StrikeContext) -> Iterator[Evidence | None]:
    """All of etcd's data is lost; an operator puts the network config back."""
    key = f"{ETCD_PREFIX}/config"
    config = context.api.get(key)
    if config is None:
        raise LabError("there is no network config to keep")
    context.lab.etcd.wipe()
    context.api.put(key, config.value)
    yield None


def _config_is(context: StrikeContext, value: str) -> Iterator[Evidence | None]:
    """The network config is another for a while; "" deletes it."""
    key = f"{ETCD_PREFIX}/config"
    api = context.api
    config = api.get(key)
    if config is None:
        raise LabError("there is no network config to spoil")
    if value:
        api.put(key, value)
    else:
        api.delete(key)
    yield None
    api.put(key, config.value)


def _config_deleted(context: StrikeContext) -> Iterator[Evidence | None]:
    yield from _config_is(context, "")


def _config_spoilt(context: StrikeContext) -> Iterator[Evidence | None]:
    spoilt = (
        '{"Network": "10.50.0.0/16"',
        '{"Network": "not a network"}',
        "{}",
        '{"Network": "10.50.0.0/29"}',
    )
    yield from _config_is(context, context.choose(spoilt))


def _poisoned(context: StrikeContext) -> Iterator[Evidence | None]:
    """Values that are no leases, and leases that nobody should follow."""
    api = context.api
    victim = own(api, context.lab.hosts[0])
    covering = (
        victim.key.rpartition("/")[2].partition("&")[0].replace("-24", "-25") if victim else "10.50.9.0-25"
    )
    data = {"BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "02:bb:00:00:00:01"}}
    good = json.dumps({"PublicIP": "10.99.16.66", "PublicIPv6": None} | data)
    poison = {
        "10.50.251.0-24": "{garbage",
        "10.50.300.0-24": good,
        "10.99.0.0-16": good,
        "0.0.0.0-0": good,
        "10.50.0.0-16": good,
        covering: good,
        "10.50.252.0-24": json.dumps({"PublicIP": "10.99.16.67", "BackendType": "vxlan", "BackendData": {}}),
        "../../etc": good,
    }
    if context.dice is None:
        poison = dict(list(poison.items())[:1])
    for key, value in poison.items():
        context.tell.exempt(key)
        api.put(SUBNETS + key, value)
    yield Evidence(
        context.host, (next(iter(poison)),), lambda: all(_stands(context, *row) for row in poison.items())
    )
    for key in poison:
        api.delete(SUBNETS + key)


def _lease_deleted(context: StrikeContext) -> Iterator[Evidence | None]:
    """Somebody deletes a host's lease, or ends the etcd lease below it."""
    api = context.api
    mine = own(api, context.host)
    if mine is None:
        raise LabError(f"{context.host.name} has no lease that could be deleted")
    if mine.lease and context.choose((True, False)):
        api.revoke(mine.lease)
    else:
        api.delete(mine.key)
    yield None


def _slept_past_lease(context: StrikeContext) -> Iterator[Evidence | None]:
    """A daemon stands still until after the end of its lease."""
    context.host.daemon.freeze()
    try:
        yield from _lease_deleted(context)
    finally:
        context.host.daemon.thaw()


def _subnet_stolen(context: StrikeContext) -> Iterator[Evidence | None]:
    """While a daemon sleeps past its lease another host takes the subnet, and later goes away for good."""
    host, api = context.host, context.api
    host.daemon.freeze()
    try:
        mine = own(api, host)
        if mine is None:
            raise LabError(f"{host.name} has no lease that could be stolen")
        said = json.loads(mine.value)
        data = (
            {"BackendData": said["BackendData"] | {"VtepMAC": _STRANGE_MAC}} if "BackendData" in said else {}
        )
        value = json.dumps(said | data | {"PublicIP": "10.99.16.26", "NodeID": "thief"})
        api.delete(mine.key)
        api.put(mine.key, value)
    finally:
        host.daemon.thaw()
    yield Evidence(host, ("thief",), lambda: _stands(context, mine.key.removeprefix(SUBNETS), value))
    api.delete(mine.key)
    if context.dice is None:
        wait_until(
            lambda: own(api, host) is not None, f"{host.name} takes its subnet back", deadline=HEALED_S
        )


def own(api: EtcdApi, host: Host) -> Entry | None:
    """Return the lease that names the host."""
    return next((entry for entry in api.list(SUBNETS) if f'"{host.name}"' in entry.value), None)


def _stands(context: StrikeContext, key: str, value: str) -> bool:
    entry = context.lab.etcd.api.get(SUBNETS + key)
    return entry is not None and entry.value == value


def _free(context: StrikeContext, place: int) -> str:
    """A subnet key near the end of the network that no host holds."""
    taken = {entry.key for entry in context.api.list(SUBNETS)}
    return next(key for n in range(place, 0, -1) if SUBNETS + (key := f"10.50.{n}.0-24") not in taken)


def _value(public_ip: str, *, node: str, backend: str) -> str:
    said = {"PublicIP": public_ip, "PublicIPv6": None} | ({"BackendType": backend} if backend else {})
    more = {"BackendData": {"VNI": 1, "VtepMAC": _STRANGE_MAC}} if backend == "vxlan" else {}
    return json.dumps(said | more | {"NodeID": node})


def _put(context: StrikeContext, key: str, value: str, words: tuple[str, ...]) -> Iterator[Evidence | None]:
    context.tell.exempt(key)
    context.api.put(SUBNETS + key, value)
    yield Evidence(context.host, words, lambda: _stands(context, key, value))
    context.api.delete(SUBNETS + key)


def _gateway_far(context: StrikeContext) -> Iterator[Evidence | None]:
    """A host-gw peer behind a router."""
    value = _value("10.98.1.9", node="far", backend="host-gw")
    yield from _put(context, _free(context, 242), value, ("far", "10.98.1.9"))


def _address_shared(context: StrikeContext) -> Iterator[Evidence | None]:
    """A cloned machine advertises this host's address."""
    address = context.host.address
    value = _value(address, node="twin", backend=context.fabric.type)
    yield from _put(context, _free(context, 243), value, (address, "twin"))


def _reservation_missed(context: StrikeContext) -> Iterator[Evidence | None]:
    """Another subnet than the one it holds is reserved for this host."""
    key = _free(context, 244)
    value = json.dumps({"PublicIP": context.host.address, "PublicIPv6": None, "NodeID": context.host.name})
    yield from _put(context, key, value, (key.partition("-")[0],))


def _neighbours_overflow(context: StrikeContext) -> Iterator[Evidence | None]:
    """More peers than the neighbour table may have entries; the limit is the machine's, so peers are many."""
    limit, api = threshold(), context.api
    lease = write_peers(api, simulated_peers(limit + 20, network="10.48.0.0/12"))
    words = ("gc_thresh3", str(limit))
    yield Evidence(context.host, words, lambda: len(context.lab.etcd.api.list(SUBNETS)) > limit)
    api.revoke(lease)


def threshold() -> int:
    """Return the most neighbours that the kernel keeps; namespaces share the machine's, so it is never changed."""
    return int(Path("/proc/sys", THRESHOLD).read_text())


def _subnets_run_out(context: StrikeContext) -> Iterator[Evidence | None]:
    """The network's last subnets are leased to others."""
    api = context.api
    taken = {entry.key for entry in api.list(SUBNETS)}
    peers = simulated_peers(3, network=str(context.fabric.config["Network"]), first=1)
    lease = write_peers(api, [peer for peer in peers if SUBNETS + peer.key not in taken])
    yield Evidence(context.host, ("0 of 3",), lambda: len(context.lab.etcd.api.list(SUBNETS)) == 3)
    api.revoke(lease)


_etcd = partial(Fault, family=Family.ETCD, part=Part.ETCD, hosts=0, breaks=False)
_lease = partial(Fault, family=Family.ETCD, part=Part.ETCD, breaks=True)
_NEEDS_A_NETWORK = "needs a network of its own"

FAULTS = (
    _etcd(name="peers_churned", title="peers come and go", strike=_churned, lasts=(0.5, 5)),
    _etcd(name="history_compacted", title="a host misses history that is forgotten", strike=_compacted,
          lasts=(1, 4), hosts=1),
    # The lease of a host whose daemon is away stays lost for as long, and its peers follow etcd.
    _etcd(name="etcd_wiped", title="all data is lost", strike=_wiped, lasts=(0.5, 1), also=_DAEMON),
    _etcd(name="config_deleted", title="the network config is deleted", strike=_config_deleted, lasts=(1, 6)),
    _etcd(name="config_spoilt", title="the network config is spoilt", strike=_config_spoilt, lasts=(1, 6)),
    _etcd(name="leases_poisoned", title="a poisoned lease", strike=_poisoned, problem="P16",
          condition="PeerLeasesValid", alert="FlanpyPeerLeasesInvalid", settle=SEEN),
    _lease(name="lease_deleted", title="a host's lease is deleted", strike=_lease_deleted, lasts=(0.1, 0.5)),
    _lease(name="slept_past_lease", title="a daemon sleeps past its lease", strike=_slept_past_lease,
           lasts=(1, 5), also=_DAEMON),
    _lease(name="subnet_stolen", title="another host took the subnet", strike=_subnet_stolen, lasts=(2, 6),
           also=_DAEMON, problem="P26", condition="LeaseConflict", alert="FlanpyLeaseConflict", settle=SEEN),
)  # fmt: skip
MORE = (
    _lease(name="gateway_far", title="a host-gw peer behind a router", strike=_gateway_far, breaks=False,
           fabrics=frozenset({"host-gw"}), setting=Setting(hosts=2, backend="host-gw"), problem="P18",
           condition="PeersProgrammed", alert="FlanpyPeersNotProgrammed", settle=SEEN),
    _lease(name="address_shared", title="two hosts advertise one address", strike=_address_shared, problem="P21",
           condition="DuplicatePublicIP", alert="FlanpyDuplicatePublicIP", settle=SEEN),
    _lease(name="reservation_missed", title="a reservation for this host is not what it holds",
           strike=_reservation_missed, breaks=False, problem="P29", condition="RestartNeeded",
           alert="FlanpyRestartNeeded", settle=SEEN,
           dice="a host whose lease is lost meanwhile rightly takes what is reserved for it"),
    _etcd(name="neighbours_overflow", title="more peers than neighbour entries", strike=_neighbours_overflow,
          setting=Setting(hosts=1, network="10.48.0.0/12", flags=("--probe=false",)), problem="P20",
          condition="NeighboursFit", alert="FlanpyNeighbourTableFull", settle=SEEN, dice=_NEEDS_A_NETWORK),
    _etcd(name="subnets_run_out", title="no subnet is left", strike=_subnets_run_out,
          setting=Setting(hosts=1, room=("10.50.1.0", "10.50.3.0"), flags=("--probe=false",)), problem="P28",
          condition="SubnetsAvailable", alert="FlanpySubnetsExhausted", settle="the condition's grace",
          dice=_NEEDS_A_NETWORK),
)  # fmt: skip
