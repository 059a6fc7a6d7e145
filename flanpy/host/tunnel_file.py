"""The table of the UDP tunnel on disk, so that it outlives a restart of the daemon as routes outlive it.

It lies in the run directory, which a reboot empties: so does the kernel. Anything odd in it makes it empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.objects import TunnelPeer

log = get_logger()

FILE_NAME: Final = "tunnel.json"
_LARGEST: Final = 1 << 24


class TunnelFile:
    """Implements `udp.ports.TableMemory`."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME

    def load(self) -> tuple[TunnelPeer, ...]:
        try:
            rows = json.loads(atomic.read(self._path, _LARGEST))
            return tuple(
                TunnelPeer(str(link), IPv4Network(subnet), IPv4Address(peer), fast is True)
                for link, subnet, peer, fast in rows
            )
        except FileNotFoundError:
            return ()
        except (OSError, *MALFORMED) as error:
            log.warning("tunnel_table_unread", path=self._path, error=error)
            return ()

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        """Raises HostError."""
        rows = [[peer.link, str(peer.subnet), str(peer.peer), peer.fast] for peer in peers]
        atomic.write(self._path, json.dumps(rows).encode() + b"\n", mode=0o600)
