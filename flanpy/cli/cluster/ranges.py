"""The network of a new cluster: as it was asked for, or a range that nothing here uses.

Owns the choice. A host sees its own addresses, routes and resolvers only: what other hosts use it cannot know.
"""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import suppress
from typing import Final

from flanpy.backend.registry import validate_network
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.config.border import refuse_disallowed, refuse_used
from flanpy.cli.config.encryption import encrypted
from flanpy.config.settings import Settings
from flanpy.errors import HostError
from flanpy.kernel.wireguard_asked import has_wireguard
from flanpy.model.address import IPAddress
from flanpy.model.encryption import ENCRYPTING
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.store.port import KeyValue

_CHOICES: Final = (
    *(f"10.{number}.0.0/16" for number in (*range(50, 60), *range(100, 250, 10))),
    *(f"172.{number}.0.0/16" for number in range(20, 32)),
)


def wanted(arguments: Namespace) -> NetworkConfig | None:
    """Return the network that was asked for; None if the range is left to us. Raises `ConfigError`.

    REFUSED if it is to be encrypted and this kernel cannot.
    """
    if arguments.encrypt and not has_wireguard():
        raise CommandError(
            Exit.REFUSED,
            "--encrypt needs WireGuard, which this kernel does not have: boot one that has the module wireguard (5.6 or"
            " newer, on every host), or leave --encrypt out",
        )
    if arguments.network is None:
        _network(_CHOICES[0], arguments)  # a wrong backend is told before anything is done
        return None
    return _network(arguments.network, arguments)


def chosen(config: NetworkConfig | None, host: Host, settings: Settings) -> NetworkConfig:
    """Return the network to write. REFUSED if this host uses its range; without one the first that is free."""
    if config is not None:
        refuse_disallowed(config, settings)
        refuse_used(config, settings.subnet_file)
        return config
    resolvers = _resolvers()
    for text in _CHOICES:
        candidate = _network(text, host.arguments)
        assert candidate.network is not None
        if any(one in candidate.network for one in resolvers):
            continue
        with suppress(CommandError):
            refuse_disallowed(candidate, settings)
            refuse_used(candidate, settings.subnet_file)
            return candidate
    raise CommandError(Exit.REFUSED, "no range is free here: name one, flanpyctl cluster init RANGE")


def refuse_another(config: NetworkConfig | None, found: KeyValue | None, *, encrypt: bool) -> None:
    """CONFLICT if the store has another network than the one that was asked for, or one in clear."""
    if found is None or (config is None and not encrypt):
        return
    there = parse_network_config(found.value)
    if encrypt and there.backend_type != ENCRYPTING:
        raise CommandError(
            Exit.CONFLICT,
            f"the cluster's network is {there.network} with {there.backend_type}, in clear, already: encrypt it with"
            " 'flanpyctl network set --encrypt'",
        )
    if config is None:
        return
    asked = (config.network, config.network6, config.backend_type)
    if (there.network, there.network6, there.backend_type) != asked:
        raise CommandError(
            Exit.CONFLICT,
            f"the cluster's network is {there.network} with {there.backend_type} already:"
            " change it with 'flanpyctl network set'",
        )


def network_of(found: KeyValue | None) -> object:
    """Return the range of a network as the store has it."""
    return parse_network_config(found.value).network if found else ""


def _network(text: str, arguments: Namespace) -> NetworkConfig:
    config = parse_network_config(json.dumps({"Network": text, "Backend": {"Type": arguments.backend}}))
    if arguments.encrypt:
        config = encrypted(config)
    validate_network(config)
    return config


def _resolvers() -> tuple[IPAddress, ...]:
    from flanpy.doctor.host import nameservers

    with suppress(HostError):
        return nameservers()
    return ()
