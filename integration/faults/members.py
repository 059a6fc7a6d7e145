"""Faults of etcd: members killed, frozen, cut off; quorum lost; history compacted; everything wiped; poison and churn.

None of them may cost an established flow a packet, but where a host's own lease is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

from integration.etcd.api import ETCD_PREFIX, EtcdApi
from integration.etcd.cluster import EtcdMember
from integration.etcd.peers import LEASE_TTL_S, Peer, simulated_peers
from integration.faults.fault import Family, Ground, Kind, Part
from integration.hosts.lab import NETWORK
from integration.net.namespaces import LabError, ip_batch

_etcd = partial(Kind, family=Family.ETCD, part=Part.ETCD, hosts=0, breaks=False)
SUBNETS = f"{ETCD_PREFIX}/subnets/"
CROWD = 30
_DAEMON = frozenset({Part.DAEMON})


def _members(ground: Ground, count: int) -> list[EtcdMember]:
    """So many of them, by the dice."""
    return ground.random.sample(ground.lab.etcd.members, min(count, len(ground.lab.etcd.members)))


def _dead(ground: Ground, members: Sequence[EtcdMember]) -> Iterator[None]:
    for member in members:
        member.kill()
    yield
    for member in members:
        member.launch()
    ground.lab.etcd.wait_healthy()


def _still(ground: Ground, members: Sequence[EtcdMember]) -> Iterator[None]:
    for member in members:
        member.freeze()
    yield
    for member in members:
        member.thaw()
    ground.lab.etcd.wait_healthy()


def _member_killed(ground: Ground) -> Iterator[None]:
    yield from _dead(ground, _members(ground, 1))


def _leader_killed(ground: Ground) -> Iterator[None]:
    yield from _dead(ground, [ground.lab.etcd.leader()])


def _quorum_killed(ground: Ground) -> Iterator[None]:
    yield from _dead(ground, _members(ground, 2))


def _all_killed(ground: Ground) -> Iterator[None]:
    yield from _dead(ground, ground.lab.etcd.members)


def _member_frozen(ground: Ground) -> Iterator[None]:
    yield from _still(ground, _members(ground, 1))


def _all_frozen(ground: Ground) -> Iterator[None]:
    yield from _still(ground, ground.lab.etcd.members)


def _member_cut(ground: Ground) -> Iterator[None]:
    (member,) = _members(ground, 1)
    ip_batch(ground.lab.plan.switch, [f"link set {member.name} down"])
    yield
    ip_batch(ground.lab.plan.switch, [f"link set {member.name} up"])
    ground.lab.etcd.wait_healthy()


def _free_peers(ground: Ground) -> list[Peer]:
    taken = {entry.key.rpartition("/")[2].partition("&")[0] for entry in ground.api().list(SUBNETS)}
    first = ground.random.randint(20, 60)
    return [
        peer for peer in simulated_peers(CROWD + 10, network=NETWORK, first=first) if peer.key not in taken
    ][:CROWD]


def _write(ground: Ground, api: EtcdApi, peers: Sequence[Peer]) -> int:
    """Their leases, bound to one of etcd's, whose id is returned."""
    lease = api.grant(LEASE_TTL_S)
    api.put_all(((SUBNETS + peer.key, ground.fabric.value(peer)) for peer in peers), lease=lease)
    return lease


def _churned(ground: Ground) -> Iterator[None]:
    """Peers come, and go one by one."""
    peers = _free_peers(ground)
    api = ground.api()
    lease = _write(ground, api, peers)
    yield
    for peer in peers[::2]:
        api.delete(SUBNETS + peer.key)
    api.revoke(lease)


def _compacted(ground: Ground) -> Iterator[None]:
    """A host is torn off etcd, misses peers that come and go, and its place in the history is forgotten."""
    host = ground.host
    rule = "chain out { type filter hook output priority 0; tcp dport 2379 reject with tcp reset; };"
    host.run("nft", "-f", "-", stdin=f"table inet chaos_no_etcd {{ {rule} }}\n")
    try:
        peers, api = _free_peers(ground), ground.api()
        lease = _write(ground, api, peers)
        yield
        api.revoke(lease)
        api.compact()
    finally:
        host.run("nft", "delete", "table", "inet", "chaos_no_etcd", check=False)


def _wiped(ground: Ground) -> Iterator[None]:
    """All of etcd's data is lost; an operator puts the network config back."""
    key = f"{ETCD_PREFIX}/config"
    config = ground.api().get(key)
    if config is None:
        raise LabError("there is no network config to keep")
    ground.lab.etcd.wipe()
    ground.api().put(key, config.value)
    yield


def _config_is(ground: Ground, value: str) -> Iterator[None]:
    """The network config is another for a while; "" deletes it."""
    key = f"{ETCD_PREFIX}/config"
    api = ground.api()
    config = api.get(key)
    if config is None:
        raise LabError("there is no network config to spoil")
    if value:
        api.put(key, value)
    else:
        api.delete(key)
    yield
    api.put(key, config.value)


def _config_deleted(ground: Ground) -> Iterator[None]:
    yield from _config_is(ground, "")


def _config_spoilt(ground: Ground) -> Iterator[None]:
    spoilt = (
        '{"Network": "10.50.0.0/16"',
        '{"Network": "not a network"}',
        "{}",
        '{"Network": "10.50.0.0/29"}',
    )
    yield from _config_is(ground, ground.random.choice(spoilt))


def _poisoned(ground: Ground) -> Iterator[None]:
    """Values that are no leases, and leases that nobody should follow."""
    api = ground.api()
    victim = next((e for e in api.list(SUBNETS) if f'"{ground.lab.hosts[0].name}"' in e.value), None)
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
    for key in poison:
        ground.tell.exempt(key)
    for key, value in poison.items():
        api.put(SUBNETS + key, value)
    yield
    for key in poison:
        api.delete(SUBNETS + key)


def _lease_deleted(ground: Ground) -> Iterator[None]:
    """Somebody deletes a host's lease, or ends the etcd lease below it."""
    api = ground.api()
    mine = next((e for e in api.list(SUBNETS) if f'"{ground.host.name}"' in e.value), None)
    if mine is None:
        raise LabError(f"{ground.host.name} has no lease that could be deleted")
    if mine.lease and ground.random.random() < 0.5:
        api.revoke(mine.lease)
    else:
        api.delete(mine.key)
    yield


def _slept_past_lease(ground: Ground) -> Iterator[None]:
    """A daemon stands still until after the end of its lease."""
    ground.host.daemon.freeze()
    try:
        yield from _lease_deleted(ground)
    finally:
        ground.host.daemon.thaw()


def _subnet_stolen(ground: Ground) -> Iterator[None]:
    """While a daemon sleeps past its lease another host takes the subnet, and later goes away for good."""
    ground.host.daemon.freeze()
    api = ground.api()
    mine = next((e for e in api.list(SUBNETS) if f'"{ground.host.name}"' in e.value), None)
    try:
        if mine is None:
            raise LabError(f"{ground.host.name} has no lease that could be stolen")
        thief = json.loads(mine.value) | {"PublicIP": "10.99.16.26", "NodeID": "thief"}
        api.delete(mine.key)
        api.put(mine.key, json.dumps(thief))
    finally:
        ground.host.daemon.thaw()
    yield
    api.delete(mine.key)


KINDS = (
    _etcd("member_killed", strike=_member_killed, lasts=(1, 8)),
    _etcd("leader_killed", strike=_leader_killed, lasts=(1, 8)),
    _etcd("quorum_killed", strike=_quorum_killed, lasts=(1, 8)),
    _etcd("all_killed", strike=_all_killed, lasts=(0.5, 8)),
    _etcd("member_frozen", strike=_member_frozen, lasts=(1, 9)),
    _etcd("all_frozen", strike=_all_frozen, lasts=(1, 9)),
    _etcd("member_cut", strike=_member_cut, lasts=(1, 9)),
    _etcd("peers_churned", strike=_churned, lasts=(0.5, 5)),
    _etcd("history_compacted", strike=_compacted, lasts=(1, 4), hosts=1),
    # The lease of a host whose daemon is away stays lost for as long, and its peers follow etcd.
    _etcd("etcd_wiped", strike=_wiped, lasts=(0.5, 1), also=_DAEMON),
    _etcd("config_deleted", strike=_config_deleted, lasts=(1, 6)),
    _etcd("config_spoilt", strike=_config_spoilt, lasts=(1, 6)),
    _etcd("leases_poisoned", strike=_poisoned, lasts=(1, 8)),
    _etcd("lease_deleted", strike=_lease_deleted, lasts=(0.1, 0.5), hosts=1, breaks=True),
    _etcd("slept_past_lease", strike=_slept_past_lease, lasts=(1, 5), hosts=1, breaks=True, also=_DAEMON),
    _etcd("subnet_stolen", strike=_subnet_stolen, lasts=(2, 6), hosts=1, breaks=True, also=_DAEMON),
)
