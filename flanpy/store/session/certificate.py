"""The end date of a certificate file. For messages only; no trust decision uses it.

The standard library reads certificates of connections, not of files, so the few bytes before the date are parsed here:
X.690 (DER), and RFC 5280, 4.1 for their order.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_BEFORE_VALIDITY: Final = 3
"""Serial number, signature algorithm, issuer."""
_END: Final = "-----END CERTIFICATE-----"


def ended(path: Path | None, now: datetime | None = None) -> datetime | None:
    """Return the end of a PEM file's first certificate if it is past; None otherwise, and if it cannot be read."""
    if path is None:
        return None
    try:
        first, end, _ = path.read_text().partition(_END)
        when = _not_after(ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN CERTIFICATE") :] + end))
    except (OSError, ValueError, IndexError):
        return None
    return when if when <= (now or datetime.now(UTC)) else None


def _not_after(der: bytes) -> datetime:
    at = _inside(der, _inside(der, 0))
    if der[at] == _EXPLICIT_VERSION:
        at = _after(der, at)
    for _ in range(_BEFORE_VALIDITY):
        at = _after(der, at)
    return _time(der, _after(der, _inside(der, at)))


def _time(der: bytes, at: int) -> datetime:
    form = "%y%m%d%H%M%SZ" if der[at] == _UTC_TIME else "%Y%m%d%H%M%SZ"
    text = der[_inside(der, at) : _after(der, at)].decode("ascii")
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def _inside(der: bytes, at: int) -> int:
    """Return the offset of the contents of the element at `at`."""
    return at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)


def _after(der: bytes, at: int) -> int:
    """Return the offset of the element after the one at `at`."""
    begin, length = _inside(der, at), der[at + 1]
    return begin + (int.from_bytes(der[at + 2 : begin]) if length & 0x80 else length)
