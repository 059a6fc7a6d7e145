"""Masking of secrets in log lines: by name, by form, and the values that `protect` was given."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, Final

MASK: Final = "********"

_SECRET_NAMES: Final = frozenset({"password", "token", "psk", "secret", "authorization", "private_key"})
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)
_URL_CREDENTIALS: Final = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")
_SHORTEST_PROTECTED: Final = 4
_protected: set[str] = set()


def protect(*secrets: str) -> None:
    """Never let these texts into a line, wherever they turn up (an etcd error may quote a request)."""
    _protected.update(secret for secret in secrets if len(secret) >= _SHORTEST_PROTECTED)


def mask_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values under secret names, private keys, credentials in URLs, and all values passed to `protect`."""
    for key, value in event.items():
        event[key] = MASK if _names_secret(key) and value else _masked(value)
    return event


def _names_secret(key: str) -> bool:
    return any(name in key.lower() for name in _SECRET_NAMES)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return _masked_text(value)
        case dict():
            return {
                key: MASK if _names_secret(key) and item else _masked(item) for key, item in value.items()
            }
        case list():
            return [_masked(item) for item in value]
        case _:
            return value


def _masked_text(text: str) -> str:
    for secret in _protected:
        text = text.replace(secret, MASK)
    return _URL_CREDENTIALS.sub(rf"\1:{MASK}@", _PEM.sub(MASK, text))
