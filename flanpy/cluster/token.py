"""The token that lets a host join: addresses, the authority's digest, and a secret that ends.

Owns its form. Pure. A checksum tells a mistyped token from a wrong one before anybody is asked.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Final

from flanpy.errors import MALFORMED, UsageError

_BEGIN: Final = "flanpy1."
_SUM: Final = 6
_ID_BYTES: Final = 4
_SECRET_BYTES: Final = 24
_LONGEST: Final = 4096
_REMEDY: Final = "copy it whole, or make another: flanpyctl cluster token create"


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `addresses` are `host:port` to join at, `authority` is the SHA-256 of the CA certificate, in hex."""

    addresses: tuple[str, ...]
    authority: str
    id: str
    secret: str = field(repr=False)

    def text(self) -> str:
        """Return it as one word."""
        body = json.dumps([list(self.addresses), self.authority, self.id, self.secret]).encode()
        return _BEGIN + urlsafe_b64encode(_sum(body) + body).decode().rstrip("=")


def fresh(addresses: tuple[str, ...], authority: str) -> Token:
    """Return a token with a new secret."""
    return Token(addresses, authority, secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))


def parse(text: str) -> Token:
    """Return the token that a word is. Raises `UsageError`, which never repeats the word."""
    word = "".join(text.split())
    if not word:
        raise UsageError(f"there is no token: {_REMEDY}")
    if not word.startswith(_BEGIN) or len(word) > _LONGEST:
        raise UsageError(f"this is no token, which begins with {_BEGIN}: {_REMEDY}")
    try:
        raw = urlsafe_b64decode(word.removeprefix(_BEGIN) + "=" * (-len(word.removeprefix(_BEGIN)) % 4))
        if _sum(raw[_SUM:]) != raw[:_SUM]:
            raise ValueError("checksum")
        return _of(json.loads(raw[_SUM:]))
    except MALFORMED:
        raise UsageError(f"the token was altered or cut off: {_REMEDY}") from None


def hashed(secret: str) -> str:
    """Return what the store keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _of(document: Any) -> Token:
    addresses, authority, id_, secret = document
    texts = [authority, id_, secret, *addresses]
    if not addresses or not all(isinstance(one, str) and one for one in texts):
        raise ValueError("texts")
    return Token(tuple(addresses), authority, id_, secret)


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_SUM]
