"""The list of hosts as one JSON document: `{"network": {...}, "hosts": [{"name", "subnet", "address"}, ...]}`.

Owns the document's grammar, its translation into the keys and values that etcd would hold, and its writing. Pure.

The MAC of a host's VXLAN device follows from the host's name: the first six bytes of the SHA-256 of
`NAME/VNI/IPV4` (or `IPV6`), made unicast and locally administered. A row says another one by `mac` and `mac6`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any, Final

import msgspec

from flanpy.backend import vxlan
from flanpy.errors import ConfigError, ListRefused
from flanpy.model.address import Family, IPAddress, Mac, is_within
from flanpy.model.lease import InvalidLease, Lease, LeaseRecord, SubnetKey, VxlanData
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.store.port import KeyValue
from flanpy.store.schema import LONGEST_NODE_ID, decode_lease, encode_record

LARGEST_DOCUMENT: Final = 16 << 20
"""Bytes; a hundred a host."""
MOST_HOSTS: Final = 65_536

_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class _Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    subnet: str | None = None
    subnet6: str | None = None
    address: str | None = None
    address6: str | None = None
    mac: str | None = None
    mac6: str | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    network: msgspec.Raw
    hosts: list[_Row]
    comment: str = ""


_decode: Final = msgspec.json.Decoder(_Document).decode


@dataclass(frozen=True, slots=True)
class ListedHost:
    """One host of the list."""

    name: str
    key: SubnetKey
    record: LeaseRecord

    def is_at(self, addresses: Iterable[IPAddress]) -> bool:
        """Report whether one of these is the host's public address."""
        return not {self.record.public_ip, self.record.public_ip6}.isdisjoint(addresses)


@dataclass(frozen=True, slots=True)
class HostList:
    """A list that can be used: `config` is the network config as text, `hosts` are disjoint parts of its ranges."""

    config: str
    hosts: tuple[ListedHost, ...]


def read_list(text: bytes) -> HostList:
    """Read a document. Raises ListRefused, which names the host, the field, its value and what is wrong with it."""
    if len(text) > LARGEST_DOCUMENT:
        raise ListRefused(f"it has {len(text)} bytes, more than {LARGEST_DOCUMENT}")
    try:
        document = _decode(text)
    except _UNREADABLE as error:
        raise ListRefused(_reason(text, error)) from error
    if len(document.hosts) > MOST_HOSTS:
        raise ListRefused(f"it has {len(document.hosts)} hosts, more than {MOST_HOSTS}")
    config = bytes(document.network).decode()
    try:
        network = parse_network_config(config)
        hosts = tuple(_host(row, network) for row in document.hosts)
    except ConfigError as error:
        raise ListRefused(f"network: {error}") from error
    _refuse_doubles(hosts)
    return HostList(config, hosts)


def write_list(config: bytes, leases: Iterable[Lease]) -> str:
    """Write the document of a running cluster, one line a host in the order of subnets.

    Raises ConfigError for a config that cannot be read.
    """
    network = parse_network_config(config)
    rows = [_row(name, lease, network) for name, lease in _named(leases)]
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    return f'{{\n  "network": {json.dumps(json.loads(network.text))},\n  "hosts": [\n    {lines}\n  ]\n}}\n'


def _reason(text: bytes, error: Exception) -> str:
    try:
        json.loads(text.decode())
    except json.JSONDecodeError as where:
        return f"line {where.lineno}, column {where.colno}: {where.msg}"
    except (ValueError, RecursionError) as other:
        return f"it is no JSON: {other}"
    return str(error)


def _host(row: _Row, network: NetworkConfig) -> ListedHost:
    named = f"host {row.name!r}"
    if not row.name.strip() or len(row.name) > LONGEST_NODE_ID or not row.name.isprintable():
        raise ListRefused(f"{named}: a name has 1 to {LONGEST_NODE_ID} printable characters")
    subnets = [
        _subnet(named, field, text, network, family)
        for field, text, family in (
            ("subnet", row.subnet, Family.IPV4),
            ("subnet6", row.subnet6, Family.IPV6),
        )
    ]
    key = SubnetKey(subnets[0], subnets[1])  # type: ignore[arg-type]
    record = LeaseRecord(
        _address(named, "address", row.address, IPv4Address),
        _address(named, "address6", row.address6, IPv6Address),
        "" if network.backend_type in {"udp", "alloc"} else network.backend_type,
        _data(row, network, Family.IPV4) if key.subnet else None,
        _data(row, network, Family.IPV6) if key.subnet6 else None,
        row.name,
    )
    judged = decode_lease(KeyValue(str(key), encode_record(record), 1, 1, 1, 1), "")
    if isinstance(judged, InvalidLease):
        raise ListRefused(f"{named}: {judged.reason}")
    return ListedHost(row.name, key, record)


def _subnet(
    named: str, field: str, text: str | None, network: NetworkConfig, family: Family
) -> IPv4Network | IPv6Network | None:
    range_ = network.range(family)
    if text is None:
        if range_ is not None:
            raise ListRefused(f"{named}: {field} is missing, a part of the network's {range_}")
        return None
    try:
        subnet = ip_network(text)
    except ValueError as error:
        raise ListRefused(f"{named}: {field} {text!r} is no subnet: {error}") from error
    if range_ is None or Family.of(subnet) is not family:
        raise ListRefused(f"{named}: {field} {text} is of a family that the network lacks")
    if not is_within(subnet, range_) or subnet == range_:
        raise ListRefused(f"{named}: {field} {text} is no part of the network's {range_}")
    return subnet


def _address(named: str, field: str, text: str | None, kind: type[Any]) -> Any:
    if text is None:
        return None
    try:
        address = ip_address(text)
    except ValueError as error:
        raise ListRefused(f"{named}: {field} {text!r} is no address") from error
    if not isinstance(address, kind):
        raise ListRefused(f"{named}: {field} {text} is of the other family")
    return address


def _data(row: _Row, network: NetworkConfig, family: Family) -> VxlanData | None:
    if network.backend_type != "vxlan":
        return None
    vni = vxlan.read_options(network.backend_options).vni
    text = row.mac if family is Family.IPV4 else row.mac6
    if text is None:
        return VxlanData(vxlan.derived_mac(row.name, vni, family), vni)
    try:
        return VxlanData(Mac.parse(text), vni)
    except ValueError as error:
        raise ListRefused(f"host {row.name!r}: {text!r} is no MAC address") from error


def _refuse_doubles(hosts: Iterable[ListedHost]) -> None:
    """Refuse two hosts of one name or address, and subnets that overlap: it is not known which of them is meant."""
    holders: dict[object, ListedHost] = {}
    subnets: dict[int, list[tuple[int, int, ListedHost]]] = {4: [], 6: []}
    for host in hosts:
        for what in filter(None, (host.name, host.record.public_ip, host.record.public_ip6)):
            other = holders.setdefault(what, host)
            if other is not host:
                raise ListRefused(f"hosts {other.key} and {host.key} are both {what}")
        for subnet in host.key.subnets:
            subnets[subnet.version].append((int(subnet.network_address), int(subnet.broadcast_address), host))
    for ranges in subnets.values():
        ranges.sort(key=lambda one: one[:2])
        for before, after in pairwise(ranges):
            if after[0] <= before[1]:
                names = f"{before[2].name!r} ({before[2].key}) and {after[2].name!r} ({after[2].key})"
                raise ListRefused(f"the subnets of hosts {names} overlap")


def _named(leases: Iterable[Lease]) -> list[tuple[str, Lease]]:
    """Give each lease its host's name; where two hosts have one name, or none, the node id or the address stands."""
    rows = sorted(leases, key=lambda lease: [(s.version, int(s.network_address)) for s in lease.key.subnets])
    names = [lease.record.host_name or lease.record.node_id for lease in rows]
    holders = Counter(names)
    return [
        (
            name
            if name and holders[name] == 1
            else lease.record.node_id or str(lease.record.public_ip or lease.record.public_ip6),
            lease,
        )
        for name, lease in zip(names, rows, strict=True)
    ]


def _row(name: str, lease: Lease, network: NetworkConfig) -> Mapping[str, str]:
    record, key = lease.record, lease.key
    fields: dict[str, object | None] = {
        "name": name,
        "subnet": key.subnet,
        "subnet6": key.subnet6,
        "address": record.public_ip,
        "address6": record.public_ip6,
        "mac": _other_mac(name, record, network, Family.IPV4),
        "mac6": _other_mac(name, record, network, Family.IPV6),
    }
    return {field: str(value) for field, value in fields.items() if value is not None}


def _other_mac(name: str, record: LeaseRecord, network: NetworkConfig, family: Family) -> Mac | None:
    """Return the MAC of the host's device, None where it follows from the name."""
    data = record.data(family)
    if not isinstance(data, VxlanData) or network.backend_type != "vxlan":
        return None
    vni = vxlan.read_options(network.backend_options).vni
    return None if data.mac == vxlan.derived_mac(name, vni, family) else data.mac
