"""Members and tokens as the store keeps them, and the judgement on who is let in.

Owns the keys, their values and the rules. Pure. A member is known by the digest of its public key: an applicant that
asks again with the same key is the same one, so a join that was cut off goes on, and costs no second use of its token.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar

from flanpy.cluster.token import hashed
from flanpy.errors import MALFORMED

PREFIX: Final = "/flanpy/cluster/"
"""Only the holder of the store's own certificate writes below it."""
MEMBERS: Final = f"{PREFIX}members/"
TOKENS: Final = f"{PREFIX}tokens/"
OPERATOR: Final = "flanpy-store"
"""The common name in the store's own certificate: its holder, root on the store's host, may do everything."""

Record = TypeVar("Record", "Member", "TokenRecord")


class Refused(Enum):
    """The reason why a host is not let in."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    SPENT = "spent"
    NAME_TAKEN = "name_taken"
    NO_MEMBER = "no_member"
    MOVED = "moved"
    MALFORMED = "malformed"
    FAILED = "failed"


REASONS: Final = {
    Refused.UNKNOWN: "the token is not known to the cluster, or its secret is wrong: it was revoked, or it is another"
    " cluster's; make one with 'flanpyctl cluster token create' on the store's host",
    Refused.ENDED: "the token has ended: make another with 'flanpyctl cluster token create' on the store's host",
    Refused.SPENT: "the token is spent: make another with 'flanpyctl cluster token create' on the store's host,"
    " with --uses N for several hosts",
    Refused.NAME_TAKEN: "another member has this host's name: say --name, or remove that member with"
    " 'flanpyctl cluster remove NAME' on the store's host",
    Refused.NO_MEMBER: "this host is not a member, or was removed: join again with a new token",
    Refused.MOVED: "the cluster's store is elsewhere by now, see 'flanpyctl cluster members' on a member: after 'store"
    " promote' make a token on the new store's host; with an etcd set the host up for that",
    Refused.MALFORMED: "the store's host did not understand: do the versions of flanpy match?",
    Refused.FAILED: "the store's host could not sign or write: see 'journalctl -u flanpy-store' there",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A host of the cluster. `id` is in the common name of its certificate; `joined` is Unix time."""

    id: str
    name: str
    node_id: str
    address: str
    joined: int

    @property
    def key(self) -> str:
        """Return its key in the store."""
        return MEMBERS + self.id


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as the store knows it. `digest` is that of its secret, `used` the members who joined by it."""

    id: str
    digest: str
    ends: int
    uses: int
    used: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return its key in the store."""
        return TOKENS + self.id


def encoded(record: Member | TokenRecord) -> bytes:
    """Return the value of a record."""
    return json.dumps(asdict(record)).encode()


def member_of(value: bytes) -> Member | None:
    """Return the member that a value is; None if it cannot be read."""
    return _decoded(Member, value)


def token_of(value: bytes) -> TokenRecord | None:
    """Return the token that a value is; None if it cannot be read."""
    found = _decoded(TokenRecord, value)
    return found and replace(found, used=tuple(found.used))


def _decoded(kind: type[Record], value: bytes) -> Record | None:
    try:
        document: Any = json.loads(value)
        return kind(**document)
    except MALFORMED:
        return None


def admitted(token: TokenRecord | None, secret: str, member: str, *, now: float) -> TokenRecord | Refused:
    """Return the token as it is once `member` joined by it, or why it does not let that host in."""
    if token is None or not hmac.compare_digest(hashed(secret), token.digest):
        return Refused.UNKNOWN
    if now >= token.ends:
        return Refused.ENDED
    if member in token.used:
        return token
    if len(token.used) >= token.uses:
        return Refused.SPENT
    return replace(token, used=(*token.used, member))
