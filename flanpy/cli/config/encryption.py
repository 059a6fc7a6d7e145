"""`flanpyctl network set --encrypt` and `--no-encrypt`: the same network, by WireGuard or by the backend it had before.

Owns the text of the config that is written. The backend in clear stays in it as `InClear`, with its options.
"""

from __future__ import annotations

import json
from typing import Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.errors import UsageError
from flanpy.model.encryption import ENCRYPTING
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.fields import BACKEND_OPTIONS, PACKETLESS
from flanpy.model.network.json import Spelled, json_object
from flanpy.model.network.network import NetworkConfig

_USUAL: Final = "vxlan"


def encrypted(config: NetworkConfig) -> NetworkConfig:
    """Return the config with Backend wireguard and the present backend kept; itself if it encrypts. May be REFUSED."""
    if config.backend_type == ENCRYPTING:
        return config
    if config.backend_type in PACKETLESS:
        raise CommandError(
            Exit.REFUSED, f"Backend {config.backend_type} carries no packets: nothing to encrypt"
        )
    present = _fields(config).get("backend", {"Type": config.backend_type})
    return _with(config, {"Backend": {"Type": ENCRYPTING}, "InClear": present})


def in_clear(config: NetworkConfig, backend: str | None) -> NetworkConfig:
    """Return the config with the backend that it had before, or with this one; itself if it does not encrypt."""
    if backend is not None and backend.lower() == ENCRYPTING:
        raise UsageError(f"--backend {backend} encrypts: leave out --no-encrypt")
    if config.backend_type != ENCRYPTING:
        return config
    if lost := sorted(config.backend_options):
        spelling = {name.lower(): name for name in BACKEND_OPTIONS[ENCRYPTING]}
        names = ", ".join(spelling.get(name, name) for name in lost)
        raise CommandError(
            Exit.REFUSED,
            f"Backend {ENCRYPTING} has options that would be lost ({names}): keep 'flanpyctl network show -o json',"
            " and write the other backend with 'flanpyctl network set FILE'",
        )
    before = _fields(config).get("inclear", {"Type": _USUAL})
    return _with(config, {"Backend": {"Type": backend} if backend is not None else before})


def _fields(config: NetworkConfig) -> dict[str, object]:
    """Return the fields of the text by their names in lower case, as flannel matches them; values as written."""
    return {name: _written(value) for name, value in json_object(config.text).items()}


def _written(value: object) -> object:
    if isinstance(value, Spelled):
        return {value.spelled[name]: _written(item) for name, item in value.items()}
    return value


def _with(config: NetworkConfig, fields: dict[str, object]) -> NetworkConfig:
    """Return the config with these fields in place of its backends; what else was written stays as it was."""
    document = _written(json_object(config.text))
    assert isinstance(document, dict)
    kept = {name: value for name, value in document.items() if name.lower() not in ("backend", "inclear")}
    return parse_network_config(json.dumps({**kept, **fields}, ensure_ascii=False))
