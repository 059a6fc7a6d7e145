"""Rights of callers: users of a file, their passwords and prefixes, and the tokens of those who logged in.

Owns the users file and the judgement of a request. Without such a file every client that TLS lets in may do
everything. Must not know the keys. A refusal is etcd's own.

The file is TOML, one table a user; `flanpy-store --hash-password` makes the value of `password`:

    [users.flanpy]
    password = "scrypt$..."
    prefixes = ["/coreos.com/network/"]

A user without `prefixes` may do everything.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from flanpy.cluster.records import OPERATOR, PREFIX
from flanpy.errors import ConfigError
from flanpy.store import etcdpb as pb
from flanpy.storeserver.refusal import Refusal, RefusalReason

_SCHEME: Final = "scrypt"
_SECRET: Final = re.compile(r"scrypt\$([0-9a-f]{2})+\$[0-9a-f]{128}")
_COST: Final = {"n": 1 << 14, "r": 8, "p": 1}
_TOKEN_KEYS: Final = ("token", "authorization")
_LARGEST: Final = 1 << 20
MOST_TOKENS: Final = 10_000
"""Logins that are remembered; the oldest goes first, and its client logs in again."""


class CallMetadata(Protocol):
    """A call, as far as it says who makes it."""

    def invocation_metadata(self) -> Any:
        """Return the pairs that the client sent along."""
        ...

    def auth_context(self) -> Any:
        """Return what is known of the client's certificate."""
        ...


class Membership(Protocol):
    """The members of a cluster, by the common names of their certificates."""

    def __contains__(self, name: object) -> bool: ...

    @property
    def moved(self) -> bool:
        """Tell whether the cluster's store is elsewhere by now."""
        ...

    def holding(self, name: str, lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `lost` if this member is struck off meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """A user; no prefix at all means every key."""

    name: str
    secret: str = field(repr=False)
    prefixes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of one caller; each method raises `Refusal` for what it may not do.

    `kept` is a prefix that the caller may read and not write: the records of members are the operator's. Once the
    store has `moved` the caller writes nothing.
    """

    user: User | None = None
    kept: bytes = b""
    member: str = ""
    moved: bool = False

    @property
    def limited(self) -> bool:
        """Tell whether there are keys that the caller may not see."""
        return self.user is not None and bool(self.user.prefixes)

    def known(self) -> None:
        """Let everybody pass who may call at all."""

    def everything(self) -> None:
        """Let only those pass who may see every key."""
        if self.limited:
            raise Refusal(RefusalReason.PERMISSION_DENIED)

    def read(self, key: bytes, end: bytes = b"") -> None:
        """Let a read of a range pass."""
        prefixes = self.user.prefixes if self.user else ()
        if prefixes and not any(_covers(prefix, key, end) for prefix in prefixes):
            raise Refusal(RefusalReason.PERMISSION_DENIED)

    def write(self, key: bytes, end: bytes = b"") -> None:
        """Let a write of a range pass."""
        if self.moved:
            raise Refusal(RefusalReason.MOVED)
        self.read(key, end)
        if self.kept and _meets(self.kept, key, end):
            raise Refusal(RefusalReason.PERMISSION_DENIED)

    def put(self, request: pb.PutRequest) -> None:
        """Let a write of a key pass."""
        self.write(request.key)

    def delete(self, request: pb.DeleteRangeRequest) -> None:
        """Let a deletion pass."""
        self.write(request.key, request.range_end)

    def txn(self, request: pb.TxnRequest) -> None:
        """Let a transaction pass, both of its branches."""
        if not self.limited and not self.kept:
            return
        for compare in request.compare:
            self.read(compare.key, compare.range_end)
        for operation in (*request.success, *request.failure):
            match operation.WhichOneof("request"):
                case "request_range":
                    self.read(operation.request_range.key, operation.request_range.range_end)
                case "request_put":
                    self.put(operation.request_put)
                case "request_delete_range":
                    self.delete(operation.request_delete_range)
                case "request_txn":
                    self.txn(operation.request_txn)


def leases_in(request: pb.TxnRequest) -> Iterator[int]:
    """Yield the leases that the puts of a transaction bind keys to, in both of its branches."""
    for operation in (*request.success, *request.failure):
        if operation.HasField("request_put"):
            yield operation.request_put.lease
        elif operation.HasField("request_txn"):
            yield from leases_in(operation.request_txn)


_EVERYTHING: Final = Rights()


class Access:
    """All users and all tokens."""

    def __init__(self, users: Iterable[User] = ()) -> None:
        self._users = {user.name: user for user in users}
        self._tokens: dict[str, User] = {}
        self._members: Membership | None = None

    def admit(self, members: Membership) -> None:
        """Let from now on nobody in but members, whichever authority signed for them."""
        self._members = members

    def of(self, call: CallMetadata) -> Rights:
        """Return the rights of a call. Raises `Refusal` for no member, for no token, and for one that is not known."""
        if self._members is None:
            return self._of_user(call)
        name = _common_name(call)
        if name not in self._members:
            raise Refusal(RefusalReason.NO_MEMBER)
        rights = self._of_user(call)
        if name == OPERATOR:
            return rights
        return replace(rights, kept=PREFIX.encode(), member=name, moved=self._members.moved)

    def holding(self, rights: Rights, lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `lost` if the caller stops being a member meanwhile."""
        return self._members.holding(rights.member, lost) if self._members else nullcontext()

    def _of_user(self, call: CallMetadata) -> Rights:
        if not self._users:
            return _EVERYTHING
        sent = dict(call.invocation_metadata() or ())
        token = next((str(sent[key]) for key in _TOKEN_KEYS if sent.get(key)), "")
        if not token:
            raise Refusal(RefusalReason.NO_USER)
        user = self._tokens.get(token)
        if user is None:
            raise Refusal(RefusalReason.INVALID_TOKEN)
        return Rights(user)

    def checked(self, name: str, password: str) -> str:
        """Return the name of a user whose password this is. Raises `Refusal`."""
        if not self._users:
            raise Refusal(RefusalReason.AUTH_OFF)
        user = self._users.get(name)
        # A name that does not exist takes as long as a wrong password.
        if not matches(password, user.secret if user else _NOBODY) or user is None:
            raise Refusal(RefusalReason.WRONG_LOGIN)
        return name

    def token_for(self, name: str) -> str:
        """Return a new token."""
        while len(self._tokens) >= MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self._users[name]
        return token


def hashed(password: str) -> str:
    """Return what the users file keeps of a password."""
    salt = secrets.token_bytes(16)
    return "$".join((_SCHEME, salt.hex(), _hash(password, salt).hex()))


def matches(password: str, secret: str) -> bool:
    """Tell whether a password is the one that was hashed."""
    _, salt, kept = secret.split("$")
    return hmac.compare_digest(_hash(password, bytes.fromhex(salt)), bytes.fromhex(kept))


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, **_COST)


_NOBODY: Final = f"{_SCHEME}${'0' * 32}${'0' * 128}"


def load_users(path: Path) -> tuple[User, ...]:
    """Read the users file. Raises `ConfigError`, which names what is wrong."""
    try:
        with path.open("rb") as file:
            document = tomllib.loads(file.read(_LARGEST).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"users-file '{path}' cannot be read ({error}): correct it") from error
    users = document.pop("users", None)
    if document or not isinstance(users, dict) or not users:
        raise ConfigError(f"users-file '{path}' must hold tables [users.NAME] and nothing else")
    return tuple(_user(path, name, table) for name, table in users.items())


def _user(path: Path, name: str, table: object) -> User:
    where = f"users-file '{path}': user {name!r}"
    if not isinstance(table, dict) or table.keys() - {"password", "prefixes"}:
        raise ConfigError(f"{where} has 'password' and 'prefixes' and nothing else")
    return User(name, _secret(where, table), _prefixes(where, table))


def _secret(where: str, table: Mapping[str, object]) -> str:
    secret = table.get("password")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise ConfigError(f"{where} has no usable password: make one with flanpy-store --hash-password")
    return secret


def _prefixes(where: str, table: Mapping[str, object]) -> tuple[bytes, ...]:
    prefixes = table.get("prefixes", [])
    if not isinstance(prefixes, list) or not all(isinstance(one, str) and one for one in prefixes):
        raise ConfigError(f"{where}: prefixes is a list of texts, such as ['/coreos.com/network/']")
    return tuple(one.encode() for one in prefixes)


def _covers(prefix: bytes, key: bytes, end: bytes) -> bool:
    if not key.startswith(prefix):
        return False
    return not end or end.startswith(prefix) or end == _after(prefix)


def _common_name(call: CallMetadata) -> str:
    names = call.auth_context().get("x509_common_name", ())
    return bytes(names[0]).decode(errors="replace") if names else ""


def _meets(prefix: bytes, key: bytes, end: bytes) -> bool:
    """Tell whether a range has room for a key with this prefix."""
    if not end:
        return key.startswith(prefix)
    return key < _after(prefix) and (end == b"\0" or end > prefix)


def _after(prefix: bytes) -> bytes:
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
