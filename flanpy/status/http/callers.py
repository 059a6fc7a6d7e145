"""The identity of a caller of the control socket, as the kernel gives it, and the caller's rights.

The socket's mode keeps other users out already; a careless chmod, or a descriptor handed on, must not be enough to
steer the daemon. Root and flanpyd's own user may ask for everything; members of the socket's group may look and have
peers probed. Credentials are those of the moment of connect (unix(7)), so a program that dropped its rights keeps its
access.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

_CREDENTIALS: Final = struct.Struct("3i")
_SO_PEERGROUPS: Final = 59
"""Linux 4.13; Python has no name for it."""

_MOST_GROUPS: Final = 256
"""What fits into the largest buffer that Python hands to getsockopt."""


class HasOptions(Protocol):
    """A socket, or what asyncio shows of one."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that connected."""

    pid: int
    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, peer: HasOptions) -> Caller:
        """Raises OSError where `peer` is no connected unix socket."""
        pid, uid, gid = _CREDENTIALS.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return cls(pid, uid, frozenset({gid, *_more_groups(peer)}))


@dataclass(frozen=True, slots=True)
class Door:
    """The access rule of the socket at `path`."""

    path: Path

    def refusal(self, caller: Caller, *, acts: bool) -> str:
        """Why this caller may not, or "" if they may; `acts` is for what changes the daemon."""
        if caller.uid in {0, os.geteuid()}:
            return ""
        if acts:
            return f"only root and flanpyd's own user may ask for this, not uid {caller.uid}"
        if self._group() in caller.groups:
            return ""
        return f"only root, flanpyd's own user and the group of {self.path} may ask, not uid {caller.uid}"

    def _group(self) -> int | None:
        """As it is now: an operator may have given the socket to another group."""
        try:
            return self.path.stat().st_gid
        except OSError:
            return None


def _more_groups(peer: HasOptions) -> tuple[int, ...]:
    """Supplementary groups; none where the kernel does not tell, or there are too many to ask for."""
    try:
        listed = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:
        return ()
    return struct.unpack(f"{len(listed) // 4}I", listed)
