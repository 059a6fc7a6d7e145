"""`flanpyctl network`: show, init, set and validate the network config in etcd.

`show -o json` is the config with all defaults filled in, in flannel's spelling.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from flanpy.backend.registry import validate_network
from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as
from flanpy.cli.base.screen import next_step
from flanpy.cli.base.wording import plural
from flanpy.cli.config import encryption
from flanpy.cli.config.border import refuse_disallowed, refuse_used, warnings
from flanpy.errors import ConfigError, UsageError
from flanpy.model.lease import SubnetKey
from flanpy.model.network.config import parse_network_config, render_network_config
from flanpy.model.network.fields import BACKEND_OPTIONS, MASK, SECRET_OPTIONS
from flanpy.model.network.network import NetworkConfig
from flanpy.store.own.allocation import excluded
from flanpy.store.port import KeyStore, KeyValue, PutKey, Store, Txn, key_absent, key_unchanged
from flanpy.store.schema import config_key, decode_key, subnets_prefix


def show(arguments: Namespace, host: Host) -> Exit:
    """Print the config in etcd with all defaults."""
    config = _checked(_stored(host), cure="; replace it with: flanpyctl network set FILE")
    if arguments.output == "table":
        _print(config)
    else:
        print_as(arguments.output, json.loads(render_network_config(config)))
    return Exit.OK


def init(arguments: Namespace, host: Host) -> Exit:
    """Create the config unless there is one: CONFLICT then."""
    config = _checked(_initial(arguments))
    if arguments.encrypt:
        config = _checked(encryption.encrypted(config).text)
    _judge_border(config, host, force=arguments.force)
    key = config_key(host.effective.etcd.prefix)

    async def create(store: Store) -> bool:
        made = Txn((key_absent(key),), (PutKey(key, config.text.encode()),))
        return (await store.txn(made)).succeeded

    if not with_etcd(host.effective, create):
        raise CommandError(
            Exit.CONFLICT,
            f"{key} exists: see 'flanpyctl network show', replace it with 'flanpyctl network set'",
        )
    _print(config)
    next_step("Next, on every host: systemctl enable --now flanpyd")
    return Exit.OK


def _initial(arguments: Namespace) -> str:
    """The JSON that the flags of `init` say, with nothing that was not said."""
    fields = {
        "Network": arguments.network,
        "SubnetLen": arguments.subnet_len,
        "SubnetMin": arguments.subnet_min,
        "SubnetMax": arguments.subnet_max,
        "EnableIPv6": True if arguments.network6 else None,
        "IPv6Network": arguments.network6,
        "Backend": {"Type": arguments.backend, **dict(_options(arguments))},
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def _options(arguments: Namespace) -> Iterator[tuple[str, object]]:
    """Values are JSON where they can be read so (7, true), else text."""
    spelling = {name.lower(): name for name in BACKEND_OPTIONS.get(arguments.backend.lower(), ())}
    for given in arguments.option:
        name, equals, text = given.partition("=")
        if not equals or not name:
            raise UsageError(f"--option {given!r} is no KEY=VALUE: write --option VNI=7")
        if name.lower() in SECRET_OPTIONS:
            raise UsageError(
                f"--option {name} is a secret, and every user of this host reads command lines: write it into a file,"
                " and type flanpyctl network set FILE"
            )
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        yield spelling.get(name.lower(), name), value


def replace(arguments: Namespace, host: Host) -> Exit:
    """Replace the config. REFUSED if subnets would be left outside, CONFLICT if it changes meanwhile."""
    config = _checked(_wanted(arguments, host))
    _judge_border(config, host, force=arguments.force)
    prefix = host.effective.etcd.prefix
    with_etcd(host.effective, lambda store: write(store, prefix, config, force=arguments.force))
    _print(config)
    return Exit.OK


def _wanted(arguments: Namespace, host: Host) -> str:
    """Return the text to write: a file's, or the present one, encrypted or not any more."""
    changes = arguments.encrypt or arguments.no_encrypt
    if changes == (arguments.file is not None):
        raise UsageError("network set takes one of FILE, --encrypt and --no-encrypt")
    if arguments.backend is not None and not arguments.no_encrypt:
        raise UsageError("--backend goes with --no-encrypt: a FILE names its own")
    if arguments.file is not None:
        return _read(arguments.file)
    present = parse_network_config(_stored(host))
    changed = (
        encryption.encrypted(present)
        if arguments.encrypt
        else encryption.in_clear(present, arguments.backend)
    )
    return changed.text


def _judge_border(config: NetworkConfig, host: Host, *, force: bool) -> None:
    if not force:
        refuse_disallowed(config, host.effective)
        refuse_used(config, host.effective.subnet_file)
    for warning in warnings(config, host.effective):
        print(f"warning: {warning}", file=sys.stderr)


async def write(store: KeyStore, prefix: str, config: NetworkConfig, *, force: bool) -> None:
    """See `replace`."""
    key = config_key(prefix)
    seen = await store.get(key)
    if not force:
        _refuse_if_left_outside(config, await _leased(store, subnets_prefix(prefix)))
        _refuse_if_leading_nowhere(config, seen)
    elif config.backend_type == "alloc":
        config = _meant(config)
    unchanged = key_absent(key) if seen is None else key_unchanged(seen)
    if not (await store.txn(Txn((unchanged,), (PutKey(key, config.text.encode()),)))).succeeded:
        raise CommandError(
            Exit.CONFLICT, f"{key} was changed by someone else meanwhile: look at it, then try again"
        )


async def _leased(store: KeyStore, prefix: str) -> list[SubnetKey]:
    keys = [decode_key(item.key.removeprefix(prefix)) for item in (await store.list(prefix)).items]
    return [key for key in keys if isinstance(key, SubnetKey)]


def _refuse_if_left_outside(config: NetworkConfig, leased: list[SubnetKey]) -> None:
    outside = [why for key in leased if (why := excluded(config, key))]
    if outside:
        raise CommandError(
            Exit.REFUSED,
            f"the new config has no place for {plural(len(outside), 'subnet')} in use: {outside[0]}"
            f"{' (and more)' if len(outside) > 1 else ''}; --force writes it, their hosts must then lease again",
        )


def _refuse_if_leading_nowhere(config: NetworkConfig, seen: KeyValue | None) -> None:
    before = _readable(seen.value) if seen is not None else None
    if before is not None and before.backend_type != "alloc" and config.backend_type == "alloc":
        raise CommandError(
            Exit.REFUSED,
            f"Backend alloc leads nowhere: every host would tear down its {before.backend_type} overlay; --force writes"
            " it, with a mark that it is meant",
        )


def _readable(value: bytes) -> NetworkConfig | None:
    with suppress(ConfigError):
        return parse_network_config(value)
    return None


def _meant(config: NetworkConfig) -> NetworkConfig:
    """The config with the mark that running hosts ask for before they tear the overlay down."""
    document = {**json.loads(config.text), "Deliberate": True}
    return parse_network_config(json.dumps(document, ensure_ascii=False))


def validate(arguments: Namespace, host: Host) -> Exit:
    """Judge a file, or what etcd has; the warnings too."""
    text = _stored(host) if arguments.file is None else _read(arguments.file)
    _print(_checked(text))
    return Exit.OK


def _stored(host: Host) -> str:
    key = config_key(host.effective.etcd.prefix)
    found = with_etcd(host.effective, lambda session: session.get(key))
    if found is None:
        raise CommandError(
            Exit.NOT_FOUND, f"no network config under {key}: make one with 'flanpyctl network init'"
        )
    return found.value.decode(errors="replace")


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        if _is_range(name):
            shown = "flanpyctl network show -o json > network.json"
            raise UsageError(f"{name!r} is a range, set takes a file: {shown}, change it there") from cause
        raise UsageError(f"cannot read {name!r}: {getattr(cause, 'strerror', None) or cause}") from cause


def _is_range(name: str) -> bool:
    try:
        ip_network(name, strict=False)
    except ValueError:
        return False
    return True


def _checked(text: str, cure: str = "") -> NetworkConfig:
    """Raises ConfigError as the daemon would, its backend's judgement included; warnings go to standard error."""
    try:
        config = parse_network_config(text)
        validate_network(config)
    except ConfigError as error:
        raise ConfigError(f"{error}{cure}") from error
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return config


def _print(config: NetworkConfig) -> None:
    for title, text in _lines(config):
        print(f"{title:<14}{text}")


def _lines(config: NetworkConfig) -> Iterator[tuple[str, str]]:
    if config.network is not None:
        yield "Network", str(config.network)
        yield "SubnetLen", str(config.subnet_len)
        yield "SubnetMin", str(config.subnet_min)
        yield "SubnetMax", str(config.subnet_max)
    if config.network6 is not None:
        yield "IPv6Network", str(config.network6)
        yield "IPv6SubnetLen", str(config.subnet_len6)
        yield "IPv6SubnetMin", str(config.subnet_min6)
        yield "IPv6SubnetMax", str(config.subnet_max6)
    yield "Backend", config.backend_type
    document = json.loads(render_network_config(config))
    for name, value in document["Backend"].items():
        if name != "Type":
            yield f"  {name}", MASK if name.lower() in SECRET_OPTIONS and value else json.dumps(value)
