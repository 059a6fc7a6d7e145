"""The access check of the page: the Host header on loopback, the token elsewhere.

Pure but for reading the token's file once. A page on loopback is for everybody on this machine, but not for web sites
that a browser on it has open: they reach loopback through a name of their own that they rebind, so the name is checked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from flanpy.errors import HostError

COOKIE = "flanpy_page"

LEAST_TOKEN = 16
"""Characters: what is guessed over the network must be long enough that guessing is hopeless."""


@dataclass(frozen=True, slots=True)
class PageGate:
    """`token` '' asks for none. `loopback`: only local names are answered."""

    loopback: bool
    token: str = field(default="", repr=False)

    def knows_host(self, host: str) -> bool:
        """Report whether Host names us: `localhost:8474`, `127.0.0.1`, `[::1]:8474`; always true off loopback."""
        return not self.loopback or _is_local(_without_port(host))

    def admits(self, authorization: str, cookies: Mapping[str, str]) -> bool:
        """Report whether the header or the cookie proves knowledge of the token."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        bearer = scheme.lower() == "bearer" and self.is_token(given.strip())
        return bearer or _equal(cookies.get(COOKIE, ""), self.cookie)

    def is_token(self, given: str) -> bool:
        return bool(self.token) and _equal(given, self.token)

    @property
    def cookie(self) -> str:
        """Return the browser's substitute for the token: of no use elsewhere, and valid after a restart, too."""
        return hmac.new(self.token.encode(), b"flanpy status page", hashlib.sha256).hexdigest()


def read_token(path: Path) -> str:
    """The token in the file's first line; raises HostError naming the file."""
    try:
        token = path.read_text().split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise HostError(f"cannot read page-token-file {path}: {reason}; see its path and owner") from error
    if len(token) < LEAST_TOKEN:
        raise HostError(
            f"page-token-file {path} has a token of {len(token)} characters: {LEAST_TOKEN} or more"
        )
    return token


def _equal(given: str, wanted: str) -> bool:
    """In constant time; compare_digest takes no text beyond ASCII, and what is no text equals no token."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), wanted.encode())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_local(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
