"""One question and one answer over TLS: a host that joins asks, the store's host answers.

Owns the form, a line of JSON each way, and the asking side. A host that has no certificate of the authority yet fetches
it, compares its digest with the token's, and says its secret only to a server that the authority vouches for.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flanpy.cluster.authority import digest_of
from flanpy.cluster.records import REASONS, Refused
from flanpy.errors import MALFORMED, ConfigError, HostError, StoreUnavailable

LONGEST: Final = 64 << 10
DEADLINE_S: Final = 15.0
_NOT_NOW: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h)."""
CLOCK_S: Final = 300.0
"""Seconds that a clock may be off: certificates begin a little before now, and tokens end by the store's clock."""


class NotAdmitted(ConfigError):
    """The store's host said no; `reason` says why."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


def fetch_authority(addresses: Sequence[str], digest: str) -> str:
    """Return the authority's certificate, PEM, of the cluster that a token names. Raises `FlanpyError`."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    said = ask_any(addresses, blind, {"do": "authority"})
    with suppress(*MALFORMED):
        if digest_of(said["authority"]) == digest:
            return str(said["authority"])
    raise ConfigError(
        f"another cluster answers at {', '.join(addresses)} than the token's: its authority has another digest"
    )


def trusting(authority: str, *, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a context that believes this authority alone, and shows a certificate if there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def ask_any(addresses: Sequence[str], context: ssl.SSLContext, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first answer there is.

    Raises `StoreUnavailable`, `NotAdmitted`, and `HostError` for a clock that is off or a certificate of somebody else.
    """
    troubles = []
    for address in addresses:
        try:
            return checked(_ask(address, context, question))
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _NOT_NOW:
                raise HostError(
                    f"the certificate of {address} is not valid now, by this host's clock"
                    f" ({time.strftime('%F %T', time.gmtime())} UTC): set the clock"
                ) from error
            raise HostError(
                f"{address} shows a certificate that is not the cluster's: {error.verify_message}"
            ) from error
        except (OSError, *MALFORMED) as error:
            troubles.append(
                f"{address}: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}"
            )
    raise StoreUnavailable(
        f"the store's host cannot be reached ({'; '.join(troubles)}): see that flanpy-store runs there and that its"
        " port is open"
    )


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer. Raises `NotAdmitted` for a refusal, `HostError` if this host's clock is off."""
    if "refused" in answer:
        raise NotAdmitted(Refused(answer["refused"]))
    off = time.time() - float(answer.get("time", time.time()))
    if abs(off) > CLOCK_S:
        way = "ahead of" if off > 0 else "behind"
        raise HostError(f"this host's clock is {abs(off):.0f} s {way} the store's host's: set the clock")
    return answer


def _ask(address: str, context: ssl.SSLContext, question: Mapping[str, Any]) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
        secured.makefile("rwb") as file,
    ):
        file.write(json.dumps(question).encode() + b"\n")
        file.flush()
        said = json.loads(file.readline(LONGEST))
    if not isinstance(said, dict):
        raise TypeError("the answer is no table")
    return said
