"""`flanpyctl store move`: the cluster's keys from the store where they are to another one, and all members after them.

Owns the order: all keys are copied while the old store serves; then one transaction there, which holds only while
nothing was written since, names the new place. Members watch that record and go on at the new store, with their
leases, which have the same ids there. The embedded store takes no more writes of members once it was left.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flanpy import log
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.cluster import places
from flanpy.cli.cluster.places import CA
from flanpy.cluster import authority
from flanpy.cluster.place import EMBEDDED, ETCD, KEY, Place, place_of, remembered
from flanpy.cluster.records import PREFIX
from flanpy.config.etcd import session_settings, store_settings
from flanpy.config.settings import Settings
from flanpy.errors import LeaseGone, UsageError
from flanpy.files import atomic
from flanpy.store.port import Compare, CompareTarget, DeleteKey, KeyValue, Operation, PutKey, Relation, Txn
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings

_AT_ONCE: Final = 100
"""Operations in one transaction; etcd takes 128."""
_TRIES: Final = 50
_STORE: Final = "flanpy-store "


@dataclass(frozen=True, slots=True)
class Moved:
    """The outcome: how many keys were copied, and the place that the cluster is at now."""

    keys: int
    place: Place


def move(arguments: Namespace, host: Host) -> Exit:
    """Move the cluster's keys. CONFLICT for a store that holds other ones, without --force."""
    places.need_root()
    part = places.need_store_host()
    urls = tuple(url.strip().rstrip("/") for url in arguments.to.split(",") if url.strip())
    settings = places.as_operator(host.settings, part)
    target = _target(settings, urls, arguments.cacert)
    log.configure("console", "error")
    bundle = "" if target.ca_file is None else target.ca_file.read_text()
    moved = asyncio.run(_both(settings, target, bundle, urls=urls, joins=part.joins, force=arguments.force))
    print(f"moved {moved.keys} keys to {', '.join(moved.place.endpoints)}; members follow by themselves")
    if not moved.place.embedded:
        print(
            "keep flanpy-store running until each host was up once: one that was away learns the new place there"
        )
    return Exit.OK


def _target(settings: Settings, urls: tuple[str, ...], cacert: str | None) -> EtcdSettings:
    """Return the way to the new store: by the operator's certificate, and the authority that vouches for that store."""
    found = replace(session_settings(settings.etcd), endpoints=urls)
    if not urls or not urls[0].startswith("https://"):
        return replace(found, ca_file=None, cert_file=None, key_file=None)
    known = remembered(settings.state_dir)
    trusted = (known.authority if known else "") or CA.read_text()
    if cacert is not None:
        trusted = authority.joined(trusted, _read(cacert))
    bundle = CA.with_name("flanpy-store.move-authority")
    atomic.write(bundle, trusted.encode())
    return replace(found, ca_file=bundle)


def _read(path: str) -> str:
    try:
        text = Path(path).read_text()
        authority.digest_of(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cacert {path!r} is no file with a certificate in PEM: {error}") from error
    return text


async def _both(
    settings: Settings,
    target: EtcdSettings,
    bundle: str,
    *,
    urls: tuple[str, ...],
    joins: tuple[str, ...],
    force: bool,
) -> Moved:
    async with EtcdSession(store_settings(settings)) as old, EtcdSession(target) as new:
        return await moved(old, new, settings.etcd.prefix, bundle, urls=urls, joins=joins, force=force)


async def moved(
    old: EtcdSession,
    new: EtcdSession,
    prefix: str,
    bundle: str,
    *,
    urls: tuple[str, ...],
    joins: tuple[str, ...],
    force: bool = False,
) -> Moved:
    """Copy all keys, then name the new place in the old store, while nothing is written there."""
    before = place_of(found.value) if (found := await old.get(KEY)) else None
    if before is None:
        raise CommandError(
            Exit.REFUSED, "the cluster does not know where its store is: flanpyctl cluster init first"
        )
    if set(before.endpoints) & set(urls):
        raise CommandError(Exit.CONFLICT, f"the cluster's store is at {', '.join(before.endpoints)} already")
    place = await _place(new, before, urls, joins, bundle)
    prefixes = ("/",) if before.embedded else (f"{prefix}/", PREFIX)
    await _refuse_a_strangers(new, place, prefixes, force=force)
    for _ in range(_TRIES):
        try:
            revision, keys = await _copied(old, new, prefixes, place)
        except LeaseGone:  # it ended between two looks
            continue
        nothing_newer = tuple(
            Compare(one, CompareTarget.MOD_REVISION, revision + 1, Relation.LESS, prefix=True)
            for one in prefixes
        )
        if (await old.txn(Txn(nothing_newer, (PutKey(KEY, place.encoded()),)))).succeeded:
            return Moved(keys, place)
    raise CommandError(
        Exit.UNHEALTHY, "keys change faster than they are copied: try again; nothing was moved"
    )


async def _place(
    new: EtcdSession, before: Place, urls: tuple[str, ...], joins: tuple[str, ...], bundle: str
) -> Place:
    status = await new.status()
    head = new.head
    if not status.version.startswith(_STORE):
        return Place(number=before.number + 1, kind=ETCD, endpoints=urls, joins=joins, authority=bundle)
    return Place(number=before.number + 1, kind=EMBEDDED, endpoints=urls, joins=joins, authority=bundle,
                 cluster_id=head.cluster_id, generation=head.generation, member=head.member)  # fmt: skip


async def _refuse_a_strangers(
    new: EtcdSession, place: Place, prefixes: tuple[str, ...], *, force: bool
) -> None:
    """CONFLICT for keys of another network. Ours of before, which a store that was left still has, are replaced."""
    known = await new.get(KEY)
    if force or (known is not None and place_of(known.value) is not None):
        return
    for prefix in prefixes:
        if items := (await new.list(prefix)).items:
            raise CommandError(
                Exit.CONFLICT,
                f"{', '.join(place.endpoints)} holds {len(items)} keys of others below {prefix}, such as"
                f" {items[0].key}: take an empty one, or say --force, which deletes them",
            )


async def _copied(
    old: EtcdSession, new: EtcdSession, prefixes: tuple[str, ...], place: Place
) -> tuple[int, int]:
    """Make the new store's keys those of the old one; return the old one's revision, and their number."""
    wanted: dict[str, KeyValue] = {}
    there: dict[str, KeyValue] = {}
    first = 0
    for prefix in prefixes:
        listed = await old.list(prefix)
        first = first or listed.revision
        wanted |= {item.key: item for item in listed.items}
        there |= {item.key: item for item in (await new.list(prefix)).items}
    wanted.pop(KEY, None)
    there.pop(KEY, None)
    await _grant(old, new, {item.lease_id for item in wanted.values() if item.lease_id})
    changes: list[Operation] = [PutKey(KEY, place.encoded())]
    changes += [DeleteKey(key) for key in there.keys() - wanted.keys()]
    changes += [
        PutKey(key, item.value, item.lease_id)
        for key, item in wanted.items()
        if key not in there or (there[key].value, there[key].lease_id) != (item.value, item.lease_id)
    ]
    for begin in range(0, len(changes), _AT_ONCE):
        await new.txn(Txn((), tuple(changes[begin : begin + _AT_ONCE])))
    return first, len(wanted)


async def _grant(old: EtcdSession, new: EtcdSession, leases: set[int]) -> None:
    """Grant the leases under the ids that their hosts know, for as long as they were granted."""
    for lease in sorted(leases):
        try:
            await new.time_to_live(lease)
        except LeaseGone:
            state = await old.time_to_live(lease)
            await new.grant(state.granted, lease)
