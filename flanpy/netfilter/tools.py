"""The programs that read and write packet filters: the search for them, and their runs within a deadline."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from flanpy.errors import KernelCause, KernelError
from flanpy.model.address import Family
from flanpy.model.packet_filter import Flavour
from flanpy.netlink.framing import packed

DEADLINE = 10.0
"""Seconds that a program may take, with the wait for the xtables lock."""

LOCK_WAIT = 5
"""Seconds to wait for others' use of iptables."""

_SEARCH = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


_ALTERNATIVES = "/etc/alternatives"
"""The links by which Debian and others choose among programs of one name."""


_SEARCH_AGE = 60.0
"""Seconds that a search holds at most: a program behind a link, or its mode, changes no directory of these."""


class Tools:
    """The program lookup, in PATH and in the usual places on hosts whose PATH is a user's.

    The answers hold until a directory of them changes, and a minute at most: a search costs some hundred system calls,
    and every look at the rules asks.
    """

    def __init__(self) -> None:
        self._stamps: object = None
        self._found: frozenset[Flavour] = frozenset()
        self._default: Flavour | None = None

    def present(self) -> tuple[frozenset[Flavour], Flavour | None]:
        """Return the flavours that can be read and written here, and that of `iptables`."""
        self._search()
        return self._found, self._default

    def default(self) -> Flavour | None:
        """Return the flavour of `iptables` here, by the program that the name leads to."""
        self._search()
        return self._default

    def _search(self) -> None:
        places = dict.fromkeys((*_path(), *_SEARCH, _ALTERNATIVES))
        stamps = (int(time.monotonic() / _SEARCH_AGE), *map(_stamp, places))
        if stamps != self._stamps:
            self._default = self._look_up_default()
            self._found = frozenset(flavour for flavour in Flavour if self._usable(flavour))
            self._stamps = stamps

    @staticmethod
    def _look_up_default() -> Flavour | None:
        path = _which("iptables")
        if path is None:
            return None
        name = os.path.basename(os.path.realpath(path))  # noqa: PTH119
        if "legacy" in name:
            return Flavour.IPTABLES_LEGACY
        if "nft" in name:
            return Flavour.IPTABLES_NFT
        try:
            said = run((path, "-V"))
        except KernelError:
            return None
        return Flavour.IPTABLES_NFT if "nf_tables" in said else Flavour.IPTABLES_LEGACY

    def argv(self, flavour: Flavour, family: Family, verb: str) -> tuple[str, ...]:
        """Return the program for `save` or `restore`; `nft` has no verbs. Raises KernelError if it is not installed."""
        if flavour is Flavour.NFT:
            name = "nft"
        else:
            stem = "iptables" if family is Family.IPV4 else "ip6tables"
            kind = flavour.value.removeprefix("iptables-")
            name = f"{stem}-{kind}-{verb}"
            if _which(name) is None and self._look_up_default() is flavour:
                name = f"{stem}-{verb}"
        path = _which(name)
        if path is None:
            raise KernelError(f"{name} is not installed", cause=KernelCause.NO_TOOL)
        return (path,)

    def _usable(self, flavour: Flavour) -> bool:
        try:
            return bool(self.argv(flavour, Family.IPV4, "restore"))
        except KernelError:
            return False


def _path() -> list[str]:
    return os.environ.get("PATH", os.defpath).split(os.pathsep)


def _stamp(place: str) -> tuple[str, int, int]:
    """Return what changes when a directory gets or loses an entry."""
    try:
        found = os.stat(place)  # noqa: PTH116, a string of the environment
    except (OSError, ValueError):
        return place, 0, 0
    return place, found.st_ino, found.st_mtime_ns


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SEARCH))


def run(argv: Sequence[str], stdin: str = "") -> str:
    """Run a program; return its standard output. Raises KernelError with its message. Blocks: call it in a thread."""
    name = os.path.basename(argv[0])  # noqa: PTH119
    try:
        done = subprocess.run(  # noqa: S603, an absolute path and words of our own
            [packed(word) for word in argv],
            input=packed(stdin),
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            env={**_inherited(), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"{name} did not end within {DEADLINE:g} s and was killed") from error
    except OSError as error:
        raise KernelError(f"cannot run {name}", error.errno or 0) from error
    out = done.stdout.decode(errors="backslashreplace")
    if done.returncode:
        said = " ".join((done.stderr.decode(errors="backslashreplace") or out).split())
        raise KernelError(f"{name} ended with {done.returncode}: {said[:300]}", cause=_cause(said))
    return out


_CAUSES: Final = (
    ("xtables.lock", KernelCause.LOCKED),
    ("ermission denied", KernelCause.NOT_PERMITTED),
    ("peration not permitted", KernelCause.NOT_PERMITTED),
    ("incompatible", KernelCause.INCOMPATIBLE),
)


def _cause(said: str) -> KernelCause:
    """Return the cause from the messages of nft and iptables: both end with one exit code for all errors."""
    return next((cause for words, cause in _CAUSES if words in said), KernelCause.OTHER)


def _inherited() -> dict[str, str]:
    return {
        name: os.environ[name]
        for name in ("PATH", "XTABLES_LOCKFILE", "XTABLES_LIBDIR")
        if name in os.environ
    }
