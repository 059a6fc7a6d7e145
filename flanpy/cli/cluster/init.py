"""`flanpyctl cluster init`: the first host of a cluster, from nothing to ready.

Owns the order of the steps. Each is kept if it is done: a second run repairs what is missing and changes nothing else.
"""

from __future__ import annotations

import time
from argparse import Namespace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_json
from flanpy.cli.cluster import own_etcd, places, ranges, steps
from flanpy.cli.cluster.member_setup import host_name, start_host
from flanpy.cli.cluster.places import (
    CA,
    CA_KEY,
    HOST_CA,
    HOST_CERT,
    HOST_KEY,
    STORE_CERT,
    STORE_KEY,
    Belonging,
)
from flanpy.cli.cluster.steps import Steps
from flanpy.cli.cluster.tokens import made
from flanpy.cluster import authority, place, records
from flanpy.cluster.place import Place
from flanpy.cluster.records import OPERATOR, Member
from flanpy.config.settings import Settings
from flanpy.errors import UsageError
from flanpy.files import atomic
from flanpy.host.node_id import known_node_id
from flanpy.model.address import bracketed
from flanpy.model.network.network import NetworkConfig
from flanpy.store.port import PutKey, Store, Txn, key_absent
from flanpy.store.schema import config_key
from flanpy.store.session.etcd import EtcdSession

LOOPBACK: Final = "127.0.0.1"
_SOMEWHERE: Final = "192.0.2.1"
"""An address of no host (RFC 5737): the way there is the default route's."""


def init(arguments: Namespace, host: Host) -> Exit:
    """Set this host up, step by step. CONFLICT if it belongs to another cluster, or uses an etcd."""
    places.need_root()
    known = places.belonging()
    if arguments.etcd is not None:
        return own_etcd.init(arguments, host, known)
    own_etcd.refuse_files(arguments)
    if known is not None and not known.serves:
        raise CommandError(
            Exit.CONFLICT,
            f"this host is a member of the cluster of {', '.join(known.endpoints)}: flanpyctl cluster leave first",
        )
    config = ranges.wanted(arguments)
    address = _address(arguments, known)
    endpoints = (f"https://{bracketed(address)}:{places.PORT}",)
    places.refuse_other_etcd(host, known.endpoints if known else ())
    _refuse_other_store(endpoints[0])
    taken = Steps(dry=arguments.dry_run, tells=arguments.output == "table")
    part = _authority(taken, known, endpoints, arguments, address)
    _certificates(taken, address)
    _store(taken, part, address)
    if taken.dry and (known is None or not steps.runs("flanpy-store.service")):
        taken.note(f"network {config.network if config else 'of a range that is free here'}", "would")
    else:
        _records(taken, host, part, config, address)
    start_host(taken, arguments, part)
    _end(taken, arguments, host, part, is_first=known is None or not known.ready)
    return Exit.OK


def _address(arguments: Namespace, known: Belonging | None) -> str:
    before = known.joins[0].rpartition(":")[0].strip("[]") if known else ""
    address = arguments.address or before or places.own_address(_SOMEWHERE)
    try:
        unusable = ip_address(address).is_loopback or ip_address(address).is_unspecified
    except ValueError:
        unusable = True
    if unusable:
        raise UsageError(
            f"--address {address!r} is no address that other hosts reach: name one of this host's"
            if address
            else "this host has no default route, so say which of its addresses the others reach: --address IP"
        )
    if before and address != before:
        raise CommandError(
            Exit.CONFLICT,
            f"the store serves at {before} already, not at {address}: members would not find it",
        )
    return address


def _refuse_other_store(endpoint: str) -> None:
    wanted = places.STORE_SETTINGS
    if not any(places.has_variable(wanted, places.LISTEN, value) for value in ("", endpoint)):
        raise CommandError(
            Exit.CONFLICT,
            f"'{wanted}' sets {places.LISTEN} to something else already: take that line out first",
        )


def _authority(
    taken: Steps, known: Belonging | None, endpoints: tuple[str, ...], arguments: Namespace, address: str
) -> Belonging:
    def make() -> None:
        CA.parent.mkdir(mode=0o700, exist_ok=True)
        authority.make_authority(CA, CA_KEY)

    taken.take("authority of the cluster", make, needed=not (CA.exists() and CA_KEY.exists()))
    digest = authority.digest_of(CA.read_text()) if CA.exists() else ""
    joins = (f"{bracketed(address)}:{places.JOIN_PORT}",)
    part = known or Belonging(digest, endpoints, joins, host_name(arguments), serves=True)
    taken.take(f"{places.STATE}", part.save, needed=known is None)
    return part


def _certificates(taken: Steps, address: str) -> None:
    def store() -> None:
        authority.make_key(STORE_KEY)
        _sign(STORE_KEY, STORE_CERT, OPERATOR, (address,))

    def own() -> None:
        authority.make_key(HOST_KEY)
        atomic.write(HOST_CA, CA.read_bytes())
        _sign(HOST_KEY, HOST_CERT, authority.member_id(authority.request_of(HOST_KEY)), (address,))

    taken.take(
        "the store's key and certificate", store, needed=not (STORE_KEY.exists() and STORE_CERT.exists())
    )
    there = HOST_KEY.exists() and HOST_CERT.exists() and HOST_CA.exists()
    taken.take("this host's key and certificate", own, needed=not there)


def _sign(key: Path, certificate: Path, name: str, addresses: tuple[str, ...]) -> None:
    request = authority.request_of(key)
    signed = authority.sign(request, authority=CA, key=CA_KEY, name=name, addresses=addresses)
    atomic.write(certificate, signed.encode())


def _store(taken: Steps, part: Belonging, address: str) -> None:
    before = taken.changed
    steps.set_variable(taken, places.STORE_SETTINGS, places.LISTEN, ",".join(part.endpoints))
    steps.set_variable(taken, places.STORE_SETTINGS, places.LISTEN_JOIN, f"https://{part.joins[0]}")
    steps.start(taken, "flanpy-store.service", again=before or taken.changed)


def _records(taken: Steps, host: Host, part: Belonging, config: NetworkConfig | None, address: str) -> None:
    settings = places.as_operator(host.settings, part)
    key = config_key(settings.etcd.prefix)
    node = known_node_id(settings.node_id, state_dir=settings.state_dir)
    id_ = authority.member_id(authority.request_of(HOST_KEY))
    member = Member(id_, part.name, node.text if node else "", address, int(time.time()))

    async def member_there(store: Store) -> bool:
        return await store.get(member.key) is not None

    async def write(store: Store) -> None:
        await store.txn(Txn((key_absent(member.key),), (PutKey(member.key, records.encoded(member)),)))

    taken.take(
        f"member {member.name}",
        lambda: with_etcd(settings, write),
        needed=not with_etcd(settings, member_there),
    )
    _place(taken, settings, part)
    found = with_etcd(settings, lambda store: store.get(key))
    ranges.refuse_another(config, found, encrypt=host.arguments.encrypt)
    fresh = ranges.chosen(config, host, settings) if found is None else None

    async def create(store: Store) -> None:
        assert fresh is not None
        await store.txn(Txn((key_absent(key),), (PutKey(key, fresh.text.encode()),)))

    shown = fresh.network if fresh else ranges.network_of(found)
    taken.take(f"network {shown}", lambda: with_etcd(settings, create), needed=found is None)


def _place(taken: Steps, settings: Settings, part: Belonging) -> None:
    """Write where the store is, which members follow from then on."""

    async def known(store: EtcdSession) -> bool:
        return await store.get(place.KEY) is not None

    async def write(store: EtcdSession) -> None:
        await store.get(place.KEY)
        head = store.head
        here = Place(number=1, kind=place.EMBEDDED, endpoints=part.endpoints, joins=part.joins,
                     cluster_id=head.cluster_id, generation=head.generation, member=head.member)  # fmt: skip
        await store.txn(Txn((key_absent(place.KEY),), (PutKey(place.KEY, here.encoded()),)))

    text = f"place of the store: {', '.join(part.endpoints)}"
    taken.take(text, lambda: with_etcd(settings, write), needed=not with_etcd(settings, known))


def _end(taken: Steps, arguments: Namespace, host: Host, part: Belonging, *, is_first: bool) -> None:
    token = "" if taken.dry or not is_first else made(host, part, uses=1, lifetime_s=86_400).text()
    if arguments.output == "json":
        print_json({"steps": taken.done, "endpoints": list(part.endpoints), "token": token})
    elif token:
        print("\non the next host, as root, within 24 h:\n")
        print(f"  flanpyctl cluster join - <<< {token}\n")
        print("for one more host each: flanpyctl cluster token create")
    elif not taken.dry:
        print("for another host: flanpyctl cluster token create")
