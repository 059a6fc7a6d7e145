"""The meaning of a failed gRPC call: the one place where grpc's errors become flanpy's.

Owns the texts that operators read: one line with the endpoint, the cause, and the remedy. Must not retry or log.
The texts matched here are etcd's own (etcd api/v3rpc/rpctypes/error.go). A text counts more than the code beside it:
`etcd grpc-proxy` passes on the text of an error with the code UNKNOWN, as does any gRPC server in Go that returns it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

import grpc
from grpc.aio import AioRpcError

from flanpy.errors import LeaseGone, ReplyTooLarge, StoreCompacted, StoreDenied, StoreError, StoreUnavailable
from flanpy.store.session.certificate import ended


class Cure(Enum):
    """The session's remedy for a failed call before it raises."""

    NONE = "none"
    NEW_TOKEN = "new_token"  # noqa: S105 - the name of a cure
    OTHER_ENDPOINT = "other_endpoint"


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed call: the error to raise, its possible remedy, and whether the request certainly never took effect.

    `silent`: nothing came back in time, neither an answer nor a refusal.
    """

    error: StoreError
    cure: Cure
    unsent: bool = False
    silent: bool = False


@dataclass(slots=True)
class Tries:
    """The tries left for one call: each other endpoint once, and new tokens.

    More than one token, because a JSON web token may be outdated before it is used while users are changed; then the
    other endpoints, because an etcd member that got its data as a snapshot knows no token at all until it restarts.
    """

    endpoints: int
    tokens: int = 3

    def take(self, fault: Fault, *, repeatable: bool) -> bool:
        """Decide whether to try again. A call that may have taken effect is tried again only if it is `repeatable`."""
        match fault.cure:
            case Cure.NEW_TOKEN if self.tokens > 0:
                self.tokens -= 1
                return True
            case Cure.NEW_TOKEN | Cure.OTHER_ENDPOINT:
                self.endpoints -= 1
                return self.endpoints > 0 and (repeatable or fault.unsent)
            case Cure.NONE:
                return False
            case _:
                assert_never(fault.cure)


_REWOUND = "future revision"
_TOKEN_REJECTED = (
    "revision in header is old",
    "invalid auth token",
    "revision of auth store is old",
    "user name is empty",
)
_WRONG_LOGIN = ("authentication failed", "invalid user ID or password")
_NOT_ENABLED = "authentication is not enabled"
_NO_LEASE = "lease not found"
_NO_MEMBER = "this certificate is no member's"
_CODES: tuple[tuple[str, grpc.StatusCode], ...] = (
    ("required revision has been compacted", grpc.StatusCode.OUT_OF_RANGE),
    (_REWOUND, grpc.StatusCode.OUT_OF_RANGE),
    (_NO_LEASE, grpc.StatusCode.NOT_FOUND),
    *((text, grpc.StatusCode.UNAUTHENTICATED) for text in _TOKEN_REJECTED),
    *((text, grpc.StatusCode.INVALID_ARGUMENT) for text in _WRONG_LOGIN),
    (_NOT_ENABLED, grpc.StatusCode.FAILED_PRECONDITION),
    ("etcdserver: permission denied", grpc.StatusCode.PERMISSION_DENIED),
    ("etcdserver: mvcc: database space exceeded", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ("etcdserver: too many requests", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ("etcdserver: too many operations in txn request", grpc.StatusCode.INVALID_ARGUMENT),
    ("etcdserver: request is too large", grpc.StatusCode.INVALID_ARGUMENT),
    ("etcdserver: too large TTL", grpc.StatusCode.OUT_OF_RANGE),
    ("etcdserver: lease already exists", grpc.StatusCode.FAILED_PRECONDITION),
)
_NEVER_CONNECTED = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")
_SILENCE = (
    "handshaker shutdown",
    "Handshake read failed",
    "ping timeout",
    "SETTINGS",
    "timed out",
    "Timeout",
)
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "Hostname Verification Check failed")
_EXPIRED = "certificate has expired"
_PLAINTEXT = ("WRONG_VERSION_NUMBER", "Handshake read failed")
_CERTIFICATE_WANTED = (
    "ALERT_BAD_CERTIFICATE",
    "CERTIFICATE_REQUIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE",
)
# An alert that comes after the handshake, as TLS 1.3 tells of a certificate, is read as data that make no sense.
_ALERT = "TSI_DATA_CORRUPTED"
# "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect ...: Connection refused"
_WRAPPING = re.compile(r"^failed to connect to all addresses; last error: [A-Z]+: (ipv[46]:\S+: )?")
# "errors resolving etcd-1:2379: [... lookup error ... os_error: Name or service not known syscall: getaddrinfo]"
_NO_NAME = re.compile(r"lookup failed for (\S+?):\d+ os_error: (?:Name or service|No address)")

_UNREACHED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


def read_fault(
    error: AioRpcError, operation: str, endpoint: object, *, username: str, certificate: Path | None = None
) -> Fault:
    """Translate one gRPC error of `operation` at `endpoint`; `certificate` is what we show there."""
    details = " ".join((error.details() or "").split())
    where = f"etcd at {endpoint}"
    match code_of(error):
        case grpc.StatusCode.UNAUTHENTICATED:
            return _rejected(details, where, username)
        case grpc.StatusCode.PERMISSION_DENIED:
            return Fault(StoreDenied(_forbidden(operation, where, username, details)), Cure.NONE)
        case grpc.StatusCode.INVALID_ARGUMENT if _has(details, _WRONG_LOGIN):
            return Fault(StoreDenied(_wrong_login(where, username)), Cure.NONE)
        case grpc.StatusCode.OUT_OF_RANGE if "TTL" not in details:
            text = f"{where} does not have that revision ({details}): list again"
            return Fault(StoreCompacted(text, rewound=_REWOUND in details), Cure.NONE)
        case grpc.StatusCode.NOT_FOUND if _NO_LEASE in details:
            return Fault(
                LeaseGone(f"{where} does not have the lease of this {operation}: it ended"), Cure.NONE
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _exhausted(details, where)
        case code if code in _UNREACHED:
            return _unreached(details, code, where, certificate)
        case code:
            return Fault(StoreError(f"{where} refused {operation}: {details} ({code.name})"), Cure.NONE)


def code_of(error: AioRpcError) -> grpc.StatusCode:
    """Tell the code that etcd itself gives with the text of `error`; for any other text, the code of `error`."""
    details = error.details() or ""
    return next((code for text, code in _CODES if text in details), error.code())


def auth_is_off(error: AioRpcError) -> bool:
    """Tell whether etcd refused a login because the cluster has authentication disabled."""
    return _NOT_ENABLED in (error.details() or "")


def silent(endpoint: object, seconds: float) -> StoreUnavailable:
    """Return the fault of a watch whose server stopped answering."""
    return StoreUnavailable(
        f"etcd at {endpoint} has not answered its watch for {seconds:g} s: see if it hangs"
    )


def _has(details: str, texts: tuple[str, ...]) -> bool:
    return any(text in details for text in texts)


def _rejected(details: str, where: str, username: str) -> Fault:
    if username:
        return Fault(
            StoreDenied(f"{where} rejects the token of user {username!r} ({details})"),
            Cure.NEW_TOKEN,
            unsent=True,
        )
    return Fault(StoreDenied(f"{where} asks for a user: set etcd-username and etcd-password"), Cure.NONE)


def _forbidden(operation: str, where: str, username: str, details: str) -> str:
    if _NO_MEMBER in details:
        return (
            f"{where}, flanpy-store, does not know this host as a member of its cluster, or not any more: flanpyctl"
            " cluster join with a new token"
        )
    who = f"user {username!r}" if username else "the user of this client certificate"
    return f"{where} denies {operation} to {who}: grant its role the prefix (etcdctl role grant-permission)"


def _wrong_login(where: str, username: str) -> str:
    return (
        f"{where} does not accept the password of user {username!r}: correct etcd-username and etcd-password"
    )


def _exhausted(details: str, where: str) -> Fault:
    if "space exceeded" in details:
        text = f"{where} is out of space and refuses writes: compact and defragment it, then etcdctl alarm disarm"
        return Fault(StoreError(text), Cure.NONE)
    if "larger than max" in details:
        text = f"{where} answered with more than one message may hold ({details}): see which keys have large values"
        return Fault(ReplyTooLarge(text), Cure.NONE)
    text = f"{where} has too much to do ({details}): see its load"
    return Fault(StoreUnavailable(text), Cure.OTHER_ENDPOINT, unsent=True)


def _unreached(details: str, code: grpc.StatusCode, where: str, certificate: Path | None) -> Fault:
    if _EXPIRED in details:
        text = f"{where} shows a certificate that has expired: renew it there"
        return Fault(StoreDenied(text), Cure.OTHER_ENDPOINT, unsent=True)
    if _has(details, _UNTRUSTED):
        text = f"{where} shows a certificate that is not trusted for this name: correct etcd-cafile or the endpoint"
        return Fault(StoreDenied(text), Cure.OTHER_ENDPOINT, unsent=True)
    if _has(details, (*_CERTIFICATE_WANTED, _ALERT)):
        error = StoreDenied(_unwelcome(where, certificate))
        return Fault(error, Cure.OTHER_ENDPOINT, unsent=_ALERT not in details)
    away = StoreUnavailable(_unavailable(details, code, where))
    silent = code is grpc.StatusCode.DEADLINE_EXCEEDED or _has(details, _SILENCE)
    return Fault(away, Cure.OTHER_ENDPOINT, unsent=_has(details, _NEVER_CONNECTED), silent=silent)


def _unwelcome(where: str, certificate: Path | None) -> str:
    if end := ended(certificate):
        return f"{where} does not accept our client certificate, which expired on {end:%Y-%m-%d}: renew etcd-certfile"
    return f"{where} does not accept our client certificate, or wants one: correct etcd-certfile and etcd-keyfile"


def _unavailable(details: str, code: grpc.StatusCode, where: str) -> str:
    cause = _WRAPPING.sub("", details)
    if found := _NO_NAME.search(details):
        return f"{where}: there is no such name: correct etcd-endpoints, or put {found[1]} into DNS or /etc/hosts"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{where} gave no answer in time: see if it hangs or has no quorum"
    if _has(details, _PLAINTEXT):
        return f"{where} does not complete a TLS handshake: see if it hangs, or if its endpoint begins with http://"
    if cause == "Socket closed":
        return f"{where} closed the connection: see that it runs, and if its endpoint begins with https://"
    return f"{where} is unavailable ({cause}): see that it runs and can be reached"
