"""`flanpyctl subnets reserve|pin|unpin|release`: the holders of subnets, changed by an operator in etcd.

Owns the rules of refusal. Every write is one guarded transaction on the values read: a change by another writer
meanwhile is CONFLICT, and nothing is written. A reservation is a key without an etcd lease: it never expires.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.subnets.etcd_listing import of_snapshot
from flanpy.cli.subnets.rows import Listing, SubnetRow
from flanpy.cli.subnets.subnets import found
from flanpy.errors import LeaseGone, UsageError
from flanpy.model.lease import LeaseRecord, SubnetKey
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.store.own.allocation import fits
from flanpy.store.own.overlap_guard import overlap_guard
from flanpy.store.port import DeleteKey, KeyValue, PutKey, Snapshot, Store, Txn, key_absent, key_unchanged
from flanpy.store.schema import config_key, decode_key, encode_record, subnets_prefix

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holdings:
    """The subnet keys of one network as they were seen, and the store that they can be changed in."""

    store: Store
    prefix: str
    snapshot: Snapshot
    listing: Listing

    @classmethod
    async def read(cls, store: Store, prefix: str, *, own: str | None) -> Holdings:
        """All keys at one revision; `prefix` is the network's."""
        subnets = subnets_prefix(prefix)
        snapshot = await store.list(subnets)
        return cls(store, subnets, snapshot, of_snapshot(snapshot, subnets, own=own))

    def seen(self, key: str) -> KeyValue:
        """The key as it was seen; it must have been."""
        return next(item for item in self.snapshot.items if item.key == self.prefix + key)

    async def write(self, seen: KeyValue, change: PutKey | DeleteKey) -> None:
        """Change a key if it still is what was seen, else CONFLICT."""
        if not (await self.store.txn(Txn((key_unchanged(seen),), (change,)))).succeeded:
            raise CommandError(
                Exit.CONFLICT, f"{seen.key} was changed by its host meanwhile: look, then try again"
            )


def _on_table(host: Host, work: Callable[[Holdings], Awaitable[T]]) -> T:
    async def run(store: Store) -> T:
        return await work(await Holdings.read(store, host.effective.etcd.prefix, own=host.node_id))

    return with_etcd(host.effective, run)


def reserve(arguments: Namespace, host: Host) -> Exit:
    """Create a reservation. CONFLICT if the subnet overlaps one that is held; the same again is fine."""
    key, record = _wanted_key(arguments.subnet), _wanted_record(arguments)

    async def run(table: Holdings) -> str:
        network = await _network(table.store, config_key(host.effective.etcd.prefix))
        return await create(table, network, key, record)

    print(_on_table(host, run))
    return Exit.OK


def _wanted_key(text: str) -> SubnetKey:
    """`10.50.7.0/24`, `10.50.7.0/24,fd50:1:0:7::/64`, or the text of a key."""
    key = decode_key(text.replace(",", "&").replace("/", "-"))
    if isinstance(key, str):
        raise UsageError(f"subnet {text!r} cannot be used ({key}): write it as 10.50.7.0/24")
    return key


def _wanted_record(arguments: Namespace) -> LeaseRecord:
    record = LeaseRecord(
        public_ip=_address(IPv4Address, "--public-ip", arguments.for_public_ip),
        public_ip6=_address(IPv6Address, "--public-ipv6", arguments.for_public_ip6),
        node_id=arguments.for_node,
    )
    if record == LeaseRecord(None):
        raise UsageError("for which host? Give --public-ip, --public-ipv6 or --for-node of the host")
    return record


_Address = TypeVar("_Address", IPv4Address, IPv6Address)


def _address(kind: type[_Address], flag: str, text: str | None) -> _Address | None:
    try:
        return None if text is None else kind(text)
    except ValueError as cause:
        raise UsageError(f"{flag} {text!r} cannot be used: {cause}") from cause


async def _network(store: Store, key: str) -> NetworkConfig:
    seen = await store.get(key)
    if seen is None:
        raise CommandError(
            Exit.NOT_FOUND, f"no network config under {key}: make one with 'flanpyctl network init'"
        )
    return parse_network_config(seen.value)


async def create(table: Holdings, network: NetworkConfig, key: SubnetKey, record: LeaseRecord) -> str:
    """Put the reservation if its range is free, and stayed free since `table` was read; says so."""
    if not fits(network, key):
        raise UsageError(f"{_ranges(key)} is no subnet that the network leases: see 'flanpyctl network show'")
    value = encode_record(record)
    for item in table.snapshot.items:
        other = decode_key(item.key.removeprefix(table.prefix))
        if other == key and item.value == value and not item.lease_id:
            return f"{_ranges(key)} is reserved so already"
        if isinstance(other, SubnetKey) and key.overlaps(other):
            holder = _holder(table.listing, str(other))
            raise CommandError(
                Exit.CONFLICT, f"{_ranges(key)} is taken: {_ranges(other)} is held by {holder}"
            )
    path = table.prefix + str(key)
    guard = overlap_guard(table.prefix, key, network, table.snapshot.revision)
    made = await table.store.txn(Txn((key_absent(path), *guard), (PutKey(path, value),)))
    if not made.succeeded:
        raise CommandError(
            Exit.CONFLICT, f"{_ranges(key)}: a subnet there was leased meanwhile: look, then try again"
        )
    return f"{_ranges(key)} is reserved"


def _ranges(key: SubnetKey) -> str:
    return ",".join(map(str, key.subnets))


def _holder(listing: Listing, key: str) -> str:
    row = next((row for row in listing.rows if row.key == key), None)
    return "a key that cannot be read" if row is None else _who(row)


def _who(row: SubnetRow) -> str:
    return row.host or row.node_id or row.public_ip or row.public_ip6


def pin(arguments: Namespace, host: Host) -> Exit:
    """Take the etcd lease off a subnet's key. Its old lease runs out by itself, without a key."""

    async def run(table: Holdings) -> str:
        row = found(table.listing, arguments.subnet)
        if row.reservation:
            return f"{row.name} is reserved already"
        seen = table.seen(row.key)
        await table.write(seen, PutKey(seen.key, seen.value))
        return f"{row.name} of {_who(row)} is reserved now"

    print(_on_table(host, run))
    return Exit.OK


def unpin(arguments: Namespace, host: Host) -> Exit:
    """Bind a reservation to an etcd lease of the usual length; its host renews it if it lives."""
    ttl = int(host.effective.subnet_lease_ttl)

    async def run(table: Holdings) -> str:
        row = found(table.listing, arguments.subnet)
        if not row.reservation:
            return f"{row.name} is a lease already"
        seen = table.seen(row.key)
        await table.write(seen, PutKey(seen.key, seen.value, await table.store.grant(ttl)))
        return f"{row.name} of {_who(row)} is a lease of {ttl} s now"

    print(_on_table(host, run))
    return Exit.OK


def release(arguments: Namespace, host: Host) -> Exit:
    """Delete a subnet's key. REFUSED without --force if a host uses it, or if the key cannot be read."""
    idle = not host.control.answers()

    async def run(table: Holdings) -> str:
        broken = next((key for key, _ in table.listing.invalid if key == arguments.subnet), None)
        if broken is not None:
            return await _release_broken(table, broken, force=arguments.force)
        row = found(table.listing, arguments.subnet)
        if not arguments.force and not (row.own and idle):
            await _refuse_if_used(table, row)
        await table.write(table.seen(row.key), DeleteKey(table.prefix + row.key))
        return f"{row.name} of {_who(row)} is released"

    print(_on_table(host, run))
    return Exit.OK


async def _refuse_if_used(table: Holdings, row: SubnetRow) -> None:
    """A lease is in use until it ends; a reservation is from when its host wrote its backend into it."""
    if row.reservation:
        used = "its host has taken it" if row.backend_type else ""
    else:
        try:
            left = (await table.store.time_to_live(row.lease_id)).remaining
            used = f"its lease has {left} s left"
        except LeaseGone:
            used = ""
    if used:
        raise CommandError(
            Exit.REFUSED,
            f"{row.name} is in use by {_who(row)} ({used}): stop its flanpyd, or --force and it loses the subnet",
        )


async def _release_broken(table: Holdings, key: str, *, force: bool) -> str:
    if not force:
        raise CommandError(
            Exit.REFUSED, f"key {key!r} cannot be read, so its owner is not known: --force deletes it"
        )
    await table.write(table.seen(key), DeleteKey(table.prefix + key))
    return f"key {key!r} is deleted"


def release_own(host: Host) -> None:
    """Give back whatever this host holds; nothing is fine."""

    async def run(table: Holdings) -> None:
        for row in table.listing.rows:
            if row.own:
                await table.write(table.seen(row.key), DeleteKey(table.prefix + row.key))

    _on_table(host, run)
