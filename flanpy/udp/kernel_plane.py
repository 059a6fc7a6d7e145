"""The in-kernel plane as the supervisor needs it: loaded only when it is first used, given up where it cannot run."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from flanpy.errors import KernelError
from flanpy.model.objects import TunnelEnd
from flanpy.model.tunnel import TunnelTable
from flanpy.netlink.framing import packed
from flanpy.udp.ports import Counts

if TYPE_CHECKING:
    from flanpy.udp.bpf.fast_path import BpfFastPath

DEVICE = "flannel0"
"""Where this link is not, no filter of ours needs to be looked for: it goes only with all the rest."""

_MAY_PASS = frozenset({errno.ENODEV, errno.ENETDOWN, errno.EBUSY, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS})
"""Refusals that say nothing of what this kernel can do."""


class KernelPlane:
    """The implementation of `udp.ports.FastPath`. `on_refused` gets the reason of a permanent refusal by the kernel."""

    def __init__(self, on_refused: Callable[[str], None] = lambda _: None) -> None:
        self._on_refused = on_refused
        self._loaded: BpfFastPath | None = None

    def unavailable(self) -> str:
        """Why it cannot run here, "" if it can."""
        return self._fast_path.unavailable()

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        try:
            self._fast_path.attach(end, table)
        except KernelError as error:
            if error.errno not in _MAY_PASS:
                self._on_refused(str(error))
            raise

    def set_table(self, table: TunnelTable) -> None:
        self._fast_path.set_table(table)

    def standing(self, end: TunnelEnd) -> bool:
        return self._fast_path.standing(end)

    def remains(self) -> str:
        if self._loaded is None and not _exists(DEVICE):
            return ""
        return self._fast_path.remains()

    def counters(self) -> Counts:
        return self._fast_path.counters()

    def detach(self) -> None:
        self._fast_path.detach()

    @property
    def _fast_path(self) -> BpfFastPath:
        if self._loaded is None:
            from flanpy.udp.bpf.fast_path import BpfFastPath  # noqa: PLC0415, for udp only

            self._loaded = BpfFastPath()
        return self._loaded


def _exists(link: str) -> bool:
    try:
        socket.if_nametoindex(os.fsdecode(packed(link)))
    except OSError:
        return False
    return True
