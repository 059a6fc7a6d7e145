"""`flanpyctl networks create` and `rm`: definitions in etcd, which every host follows.

Owns the transaction by which no subnet and no VNI is given twice: it fails if any definition, or the overlay's own
config, came or changed since they were read.
"""

from __future__ import annotations

import secrets
from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv6Network
from typing import Final

from flanpy.backend.bridged import overlay_port, vxlan_options
from flanpy.backend.udp import read_port
from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.names import list_names
from flanpy.cli.base.output import print_as, printable
from flanpy.cli.base.screen import next_step
from flanpy.cli.base.wording import plural
from flanpy.cli.config.border import refuse_used
from flanpy.cli.networks.networks import read_book, row
from flanpy.errors import ConfigError
from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.model.encryption import ENCRYPTING
from flanpy.model.lease import LeaseView
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.definition import (
    FIRST_VNI,
    USUAL_MTU,
    NamedNetwork,
    parse_subnet,
    parse_subnet6,
    render_definition,
    usual_slice_len,
)
from flanpy.names.records import names_prefix
from flanpy.plan.networks import flat_ranges, free_vni, refuse_taken
from flanpy.store.networks.book import Book, Known
from flanpy.store.networks.keys import network_key, networks_prefix, pool_of, slices_prefix
from flanpy.store.port import (
    Compare,
    CompareTarget,
    DeleteKey,
    KeyStore,
    KeyValue,
    PutKey,
    Relation,
    Txn,
    key_unchanged,
)
from flanpy.store.schema import config_key

_TRIES: Final = 8
"""Definitions at the same moment that one create outlasts."""

_NAMED: Final = 5
"""Containers that a refusal names."""

OF_ITS_OWN: Final = "auto"
"""The word for an IPv6 subnet that is made up."""

_OVERHEAD: Final = 50
"""Bytes that VXLAN over IPv4 adds; the MTU of the other backends leaves no room for them."""


def create(arguments: Namespace, host: Host) -> Exit:
    """Define a network; CONFLICT if there is one of this name, REFUSED for a range or VNI in use."""
    asked = _asked(arguments)
    if not arguments.force:
        refuse_used(replace(pool_of(asked), network6=asked.subnet6), host.effective.subnet_file)
    prefix = host.effective.etcd.prefix
    known = with_etcd(
        host.effective,
        lambda store: define(
            store, prefix, asked, arguments.vni, _mtu(arguments, host), encrypted=arguments.encrypted
        ),
    )
    if arguments.output == "table":
        network = known.network
        print(printable(f"network '{network.name}': {network.subnet}, VNI {network.vni}, MTU {network.mtu}"))
        next_step(f"Next, on any host: docker run --network {network.name} ...")
    else:
        print_as(arguments.output, row(known))
    return Exit.OK


def _asked(arguments: Namespace) -> NamedNetwork:
    """Return the network as the command line has it, to be completed by what etcd knows."""
    subnet = parse_subnet(arguments.subnet)
    return NamedNetwork(
        name=arguments.name,
        id=secrets.token_hex(8),
        subnet=subnet,
        slice_len=usual_slice_len(subnet) if arguments.slice_size is None else arguments.slice_size,
        vni=FIRST_VNI if arguments.vni is None else arguments.vni,
        port=0 if arguments.port is None else arguments.port,
        mtu=USUAL_MTU if arguments.mtu is None else arguments.mtu,
        internal=arguments.internal,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        subnet6=_subnet6(arguments.ipv6),
        hosts=tuple(filter(None, ",".join(arguments.hosts or ()).split(","))),
    )


def _subnet6(asked: str | None) -> IPv6Network | None:
    """Return the IPv6 subnet: none, one that is named, or one of our own making (RFC 4193)."""
    if asked is None:
        return None
    if asked != OF_ITS_OWN:
        return parse_subnet6(asked)
    return IPv6Network(((0xFD << 120) | (secrets.randbits(56) << 64), 64))


def _mtu(arguments: Namespace, host: Host) -> tuple[int, bool]:
    """Return the MTU, and whether it is that of this host's overlay, which may have no room for VXLAN."""
    if arguments.mtu is not None:
        return int(arguments.mtu), False
    env = subnet_env.read(host.effective.subnet_file)
    return (USUAL_MTU, False) if isinstance(env, Absent) or not env.mtu else (env.mtu, True)


async def define(
    store: KeyStore,
    prefix: str,
    asked: NamedNetwork,
    vni: int | None,
    mtu: tuple[int, bool],
    *,
    encrypted: bool = False,
) -> Known:
    """Write the definition, with a free VNI if none is asked for. Raises CommandError."""
    key = network_key(prefix, asked.name)
    for _ in range(_TRIES):
        flat = await store.get(config_key(prefix))
        book = await read_book(store, prefix)
        if key in book.networks.items:
            raise CommandError(
                Exit.CONFLICT,
                f"there is a network '{asked.name}': see 'flanpyctl networks show {asked.name}'",
            )
        config = _config(flat, prefix)
        if encrypted:
            _refuse_in_clear(asked, config)
        network = _complete(asked, book, config, vni, mtu)
        value = render_definition(network)
        done = await store.txn(Txn(_guard(prefix, book, flat), (PutKey(key, value),)))
        if done.succeeded:
            kv = KeyValue(key, value, done.revision, done.revision, 1, 0)
            return Known(network, kv, LeaseView())
    raise CommandError(Exit.CONFLICT, "other networks are defined at this very moment: try again")


def _complete(
    asked: NamedNetwork, book: Book, config: NetworkConfig, vni: int | None, mtu: tuple[int, bool]
) -> NamedNetwork:
    others = [known.network for known in book.known.values()]
    options = vxlan_options(config)
    flat_vni = options.vni if options is not None else 0
    size, of_overlay = mtu
    try:
        network = replace(
            asked,
            vni=free_vni(others, flat_vni) if vni is None else vni,
            port=asked.port or overlay_port(config),
            mtu=size - _OVERHEAD if of_overlay and options is None else size,
        )
        _refuse_port(network, config)
        refuse_taken(network, others, (flat_ranges(config), flat_vni))
    except ConfigError as error:
        raise CommandError(Exit.REFUSED, str(error)) from error
    return network


def _refuse_in_clear(asked: NamedNetwork, config: NetworkConfig) -> None:
    if config.backend_type != ENCRYPTING:
        raise CommandError(
            Exit.REFUSED,
            printable(
                f"network '{asked.name}' would be in clear: a named network goes through the overlay's WireGuard, and"
                f" the overlay's backend is {config.backend_type}: flanpyctl network set --encrypt first"
            ),
        )


def _refuse_port(network: NamedNetwork, config: NetworkConfig) -> None:
    """Raise ConfigError for a UDP port that carries packets of another form."""
    if config.backend_type == "udp" and read_port(config.backend_options) == network.port:
        raise ConfigError(
            f"port {network.port} of the network is that of the overlay's udp backend; choose another with --port"
        )


def _config(flat: KeyValue | None, prefix: str) -> NetworkConfig:
    if flat is None:
        raise CommandError(
            Exit.NOT_FOUND,
            f"no network config under {config_key(prefix)}: make one first with 'flanpyctl network init'",
        )
    return parse_network_config(flat.value)


def _guard(prefix: str, book: Book, flat: KeyValue | None) -> tuple[Compare, ...]:
    assert flat is not None
    newer = book.networks.revision + 1
    nothing_new = Compare(
        networks_prefix(prefix), CompareTarget.MOD_REVISION, newer, Relation.LESS, prefix=True
    )
    return (key_unchanged(flat), nothing_new)


def rm(arguments: Namespace, host: Host) -> Exit:
    """Delete a definition with all its slices; NOT_FOUND if there is none, REFUSED while containers are on it."""
    prefix, name = host.effective.etcd.prefix, arguments.name
    if not with_etcd(host.effective, lambda store: undefine(store, prefix, name, force=arguments.force)):
        raise CommandError(
            Exit.NOT_FOUND, printable(f"there is no network '{name}': see 'flanpyctl networks'")
        )
    print(
        printable(f"network '{name}' is removed; Docker's goes from each host once no container there has it")
    )
    return Exit.OK


async def undefine(store: KeyStore, prefix: str, name: str, *, force: bool) -> bool:
    """Delete the definition and all slices at one revision; False if there is none. Raises CommandError."""
    key = network_key(prefix, name)
    gone = (DeleteKey(key), DeleteKey(slices_prefix(prefix, name), prefix=True))
    for _ in range(_TRIES):
        there = await store.get(key)
        if there is None:
            return False
        guard: tuple[Compare, ...] = (key_unchanged(there),)
        if not force:
            guard = (*guard, await _nobody_on(store, prefix, name))
        if (await store.txn(Txn(guard, gone))).succeeded:
            return True
    raise CommandError(Exit.CONFLICT, f"network '{name}' is changed at this very moment: try again")


async def _nobody_on(store: KeyStore, prefix: str, name: str) -> Compare:
    """Return a compare that holds while no host tells of another container; raises CommandError if one has."""
    found = await list_names(store, prefix, name)
    boxes = [f"{one.box.name} on {one.told.host or one.told.node_id}" for one in found.containers]
    if boxes:
        more = f" and {len(boxes) - _NAMED} more" if len(boxes) > _NAMED else ""
        raise CommandError(
            Exit.REFUSED,
            printable(
                f"network '{name}' has {plural(len(boxes), 'container')}: {', '.join(boxes[:_NAMED])}{more}; stop"
                " them or disconnect them from it first, or say --force: they then reach each other on their own"
                " host only"
            ),
        )
    records = names_prefix(prefix, name)
    return Compare(records, CompareTarget.MOD_REVISION, found.revision + 1, Relation.LESS, prefix=True)
