"""This host's WireGuard key: one file in the state directory, checked at each start, and replaced on request only.

Its form is flannel's: 44 characters of base64, of which one newline may follow. Blocks for as long as the disk does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flanpy.errors import HostError
from flanpy.files import atomic
from flanpy.model.wireguard import key_of, written
from flanpy.model.x25519 import clamped, public_key

NAME: Final = "wgkey"
_LARGEST: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`private` is shown by nothing that prints a key pair."""

    private: bytes = field(repr=False)

    @property
    def public(self) -> str:
        """Return the public key as leases have it."""
        return written(public_key(self.private))


def key_pair(state_dir: Path, standing: Callable[[], bytes | None] = lambda: None) -> KeyPair:
    """Return the key that stands in the state directory, or make one. Raises HostError if what stands is no key.

    `standing` is asked where there is no file: the key of a device that peers know already, None for none.
    A new key is on the disk before anybody hears of it, or a crash would leave peers with one that nobody has.
    """
    path = state_dir / NAME
    try:
        content, status = atomic.read_plain(path, _LARGEST)
    except FileNotFoundError:
        return _made(path, standing() or clamped(os.urandom(32)))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if fault := _fault(status):
        raise _unusable(path, fault)
    text = content.decode("ascii", "replace").removesuffix("\n")
    key = key_of(text)
    if key is None or not any(key):
        raise _unusable(path, f"it has {len(text)} characters that are no key, which is 32 bytes in base64")
    return KeyPair(key)


def replaced(state_dir: Path) -> KeyPair:
    """Put a new key in the place of the one that stands, in one step. Raises HostError: what stands is then as it was.

    A file that cannot be used is not written over.
    """
    key_pair(state_dir)
    return _made(state_dir / NAME, clamped(os.urandom(32)))


def put_back(state_dir: Path, pair: KeyPair) -> None:
    """Put a former key in the place of the one that stands. Raises HostError."""
    _made(state_dir / NAME, pair.private)


def made_at(state_dir: Path) -> float | None:
    """Return when the key came to the disk (wall clock, seconds), None if there is no file."""
    try:
        return (state_dir / NAME).lstat().st_mtime
    except OSError:
        return None


def _made(path: Path, key: bytes) -> KeyPair:
    atomic.write(path, f"{written(key)}\n".encode(), mode=0o600)
    return KeyPair(key)


def _fault(status: os.stat_result) -> str:
    if status.st_uid not in {os.geteuid(), 0}:
        return f"it belongs to user {status.st_uid}, who could have put any key there"
    mode = stat.S_IMODE(status.st_mode)
    return f"its mode is {mode:04o}, so that others read it: chmod 0600" if mode & _OTHERS else ""


def _unusable(path: Path, fault: str) -> HostError:
    return HostError(
        f"the WireGuard key {path} cannot be used: {fault}; correct it, or move it away, and flanpyd makes a new one"
        " that all peers learn"
    )
