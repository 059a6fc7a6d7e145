"""`flanpyctl cluster init --etcd`: a host on an etcd of one's own, in place of the embedded store.

Owns the order of its steps. Each is kept if it is done, so the same command repairs this host, and sets further ones
up. Nothing is changed before etcd has answered. No authority, token or list of members is made: those are the embedded
store's.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_json
from flanpy.cli.cluster import places, ranges, steps
from flanpy.cli.cluster.places import HOST_CA, HOST_CERT, HOST_KEY, Belonging
from flanpy.cli.cluster.steps import Steps
from flanpy.config.etcd import store_settings
from flanpy.config.settings import Settings
from flanpy.errors import UsageError
from flanpy.files import atomic
from flanpy.model.network.network import NetworkConfig
from flanpy.store.port import PutKey, Store, Txn, key_absent
from flanpy.store.schema import config_key
from flanpy.store.session.settings import parse_endpoints

_LONGEST = 1 << 20
"""Bytes of a certificate or key."""


def refuse_files(arguments: Namespace) -> None:
    """Raise `UsageError` for options that only an etcd of one's own has."""
    given = [name for name in ("cacert", "cert", "key") if getattr(arguments, name)]
    if given:
        raise UsageError(f"--{given[0]} is for an etcd of one's own: name it, --etcd URL")


def init(arguments: Namespace, host: Host, known: Belonging | None) -> Exit:
    """Set this host up on the given etcd. CONFLICT if it belongs to a cluster, or uses another etcd."""
    _refuse_useless(arguments)
    _refuse_member(known)
    config = ranges.wanted(arguments)
    urls = tuple(url.strip() for url in arguments.etcd.split(","))
    places.refuse_other_etcd(host, urls)
    files = dict(_files(arguments, is_ours=_is_set(host, urls)))
    settings = _reaching(arguments, host, urls)
    key = config_key(settings.etcd.prefix)
    found = with_etcd(settings, lambda store: store.get(key))
    ranges.refuse_another(config, found, encrypt=arguments.encrypt)
    fresh = ranges.chosen(config, host, settings) if found is None else None
    taken = Steps(dry=arguments.dry_run, tells=arguments.output == "table")
    taken.note(f"etcd at {', '.join(urls)} answers, and no store is set up", "keep")
    shown = fresh.network if fresh else ranges.network_of(found)
    taken.take(f"network {shown}", lambda: _create(settings, key, fresh), needed=fresh is not None)
    _start(taken, arguments, urls, files)
    _end(taken, arguments, urls)
    return Exit.OK


def _refuse_useless(arguments: Namespace) -> None:
    for name in ("address", "name"):
        if getattr(arguments, name):
            raise UsageError(
                f"--{name} is for the embedded store, and means nothing with --etcd: leave it out"
            )


def _refuse_member(known: Belonging | None) -> None:
    if known is not None:
        raise CommandError(
            Exit.CONFLICT,
            f"this host belongs to the cluster of {', '.join(known.endpoints)}, whose store is its own:"
            " flanpyctl store move --to URL takes that cluster to an etcd",
        )


def _is_set(host: Host, urls: tuple[str, ...]) -> bool:
    origin = host.settings.origins.get("etcd-endpoints")
    return origin is not None and origin.source != "default" and host.settings.etcd.endpoints == urls


def _files(arguments: Namespace, *, is_ours: bool) -> Iterator[tuple[Path, bytes]]:
    """Yield the content of each TLS file by the place where flanpyd's unit takes it from."""
    for name, place in (("cacert", HOST_CA), ("cert", HOST_CERT), ("key", HOST_KEY)):
        path = getattr(arguments, name)
        if not path:
            continue
        try:
            content = atomic.read(Path(path), _LONGEST)
        except OSError as error:
            raise UsageError(f"--{name} {path!r} cannot be read: {error.strerror or error}") from error
        if not is_ours and place.exists() and _there(place) != content:
            raise CommandError(
                Exit.CONFLICT, f"this host has a file for an etcd already, '{place}': move it away first"
            )
        yield place, content


def _there(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise atomic.host_error("read", place, error) from error


def _reaching(arguments: Namespace, host: Host, urls: tuple[str, ...]) -> Settings:
    """Return settings by which this command reaches etcd: the files that were given, else those of flanpyd."""
    etcd = host.settings.etcd
    etcd = replace(
        etcd,
        endpoints=urls,
        cafile=Path(arguments.cacert) if arguments.cacert else etcd.cafile,
        certfile=Path(arguments.cert) if arguments.cert else etcd.certfile,
        keyfile=Path(arguments.key) if arguments.key else etcd.keyfile,
    )
    settings = replace(host.settings, etcd=etcd)
    parse_endpoints(store_settings(settings))
    return settings


def _create(settings: Settings, key: str, config: NetworkConfig | None) -> None:
    assert config is not None
    text = config.text.encode()

    async def create(store: Store) -> None:
        await store.txn(Txn((key_absent(key),), (PutKey(key, text),)))

    with_etcd(settings, create)


def _start(taken: Steps, arguments: Namespace, urls: tuple[str, ...], files: dict[Path, bytes]) -> None:
    before = len(taken.done)
    # The endpoints come first: they tell a second run that these files are its own.
    steps.set_variable(taken, places.HOST_SETTINGS, places.ENDPOINTS, ",".join(urls))
    for place, content in files.items():
        _keep_file(taken, place, content)
    again = any(one["verdict"] != "keep" for one in taken.done[before:])
    steps.start(taken, "flanpyd.service", again=again)
    host = Host(arguments)
    steps.wait_ready(taken, host, arguments.timeout)
    steps.wire_docker(taken, host, arguments)


def _keep_file(taken: Steps, place: Path, content: bytes) -> None:
    def write() -> None:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        atomic.write(place, content, mode=0o600)

    taken.take(f"{place}", write, needed=_there(place) != content)


def _end(taken: Steps, arguments: Namespace, urls: tuple[str, ...]) -> None:
    if arguments.output == "json":
        print_json({"steps": taken.done, "endpoints": list(urls), "token": ""})
    elif not taken.dry:
        print(
            "for another host: run this same command there (tokens and cluster join are the embedded store's)"
        )
