"""The extension backend's commands for a cleanup by root, who must not act on data that the service's user wrote.

`extension.json` belongs to that user, so it is data here: it names the peers that were set up, never the command to
run. A command runs only if the settings of the cleaning process (`extension-command`) have it and the file names it,
and it runs as the file's owner, with the daemon's two capabilities: exactly the rights that this user had before. All
other entries are forgotten and reported. The file is never written here.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flanpy.errors import KernelError
from flanpy.files import atomic
from flanpy.host.extension import FILE_NAME, LARGEST_FILE, UNUSABLE, parse
from flanpy.host.extension_run import AT_ONCE, environment, run
from flanpy.log import get_logger
from flanpy.model.objects import ExtensionPeer, ExtensionStart, KernelObject
from flanpy.model.ops import Objects, Op, OpFailure, Scope

log = get_logger()

PATIENCE: Final = 300.0
"""Seconds that all commands together may take: their number is the service user's to choose."""

_CAPABILITIES: Final = "-all,+net_admin,+net_raw"
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of the file."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Report whether the owner has our own rights, so that there are none to give up."""
        return self.uid in {0, os.geteuid()}

    def lowered(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that runs `command` as the owner."""
        if self.is_us:
            return command
        return (
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            "--no-new-privs",
            f"--inh-caps={_CAPABILITIES}",
            f"--ambient-caps={_CAPABILITIES}",
            f"--bounding-set={_CAPABILITIES}",
            "--",
            *command,
        )

    def environment(self) -> Mapping[str, str] | None:
        """Return the environment of a command; None means ours, which another user must not see."""
        return None if self.is_us else {name: os.environ[name] for name in _KEPT if name in os.environ}


class ExtensionLeft:
    """Implements `kernel.composite.Part`; `allowed` are command lines of our own settings."""

    handles: tuple[type[KernelObject], ...] = (ExtensionStart, ExtensionPeer)

    def __init__(self, run_dir: Path, allowed: Sequence[str], *, patience: float = PATIENCE) -> None:
        self._known = {words: words for words in map(tuple, map(shlex.split, allowed))}
        self._patience = patience
        self._owner, recorded = _recorded(run_dir / FILE_NAME)
        wanted = [peer for peer in recorded if peer.remove]
        self._peers = {peer.key: found for peer in wanted if (found := self._ours(peer)) is not None}
        self.refused = tuple(peer for peer in wanted if peer.key not in self._peers)
        """Of which nothing is run, as our settings name no such command."""

    @property
    def found(self) -> bool:
        """Report whether the file names any peer with a command."""
        return bool(self._peers or self.refused)

    def _ours(self, peer: ExtensionPeer) -> ExtensionPeer | None:
        """Return the peer with our own words for the command; None if we have none, or may not run it as the owner."""
        words = self._known.get(peer.remove)
        if words is None or not (self._owner.is_us or os.geteuid() == 0):
            return None
        return replace(peer, remove=words)

    async def read_back(self, scope: Scope) -> Objects:
        """Return the peers for which a command is to be run."""
        return dict(self._peers)

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Run the commands, several at once. Nothing is put, whatever `ops` contain."""
        until, slots = asyncio.get_running_loop().time() + self._patience, asyncio.Semaphore(AT_ONCE)
        ended = await asyncio.gather(*(self._take_away(op, until, slots) for op in ops))
        return tuple(failure for failure in ended if failure is not None)

    async def _take_away(self, op: Op, until: float, slots: asyncio.Semaphore) -> OpFailure | None:
        peer = self._peers.get(op.obj.key)
        if peer is None:
            return None
        try:
            async with asyncio.timeout_at(until), slots:
                await run(
                    self._owner.lowered(peer.remove),
                    environment(peer),
                    peer.told,
                    inherited=self._owner.environment(),
                )
        except KernelError as error:
            return OpFailure(op, error)
        except TimeoutError:
            return OpFailure(op, KernelError(f"all commands together took longer than {self._patience:g} s"))
        return None


def command_line(peer: ExtensionPeer) -> str:
    """Return the command for a peer that goes, as a shell line."""
    given = [f"{name}={value}" for name, value in environment(peer).items()]
    return " ".join([*given, shlex.join(peer.remove)])


def _recorded(path: Path) -> tuple[Owner, tuple[ExtensionPeer, ...]]:
    """Return the peers of the file, and its owner: the owner of its directory, who can put any user's file there."""
    try:
        content, status = atomic.read_plain(path, LARGEST_FILE)
        _printed, objects = parse(content)
        directory = path.parent.stat()
    except FileNotFoundError:
        return Owner(0, 0), ()
    except UNUSABLE as error:
        log.warning("extension_state_unread", path=path, error=error)
        return Owner(0, 0), ()
    by_whom = directory if directory.st_uid else status
    peers = tuple(obj for obj in objects if isinstance(obj, ExtensionPeer))
    return Owner(by_whom.st_uid, by_whom.st_gid), peers
