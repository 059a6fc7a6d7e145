"""Peers' findings about this host's checksums, on disk, so that a restart of the daemon does not try it again.

It lies in the run directory, which a reboot empties: another driver may be loaded then. Anything odd in it is as none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.offload import Corruption, LinkDriver

log = get_logger()

FILE_NAME: Final = "offload.json"
_LARGEST: Final = 1 << 20


class OffloadFile:
    """`save` raises HostError; `load` gives None where there is nothing."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / FILE_NAME

    def load(self) -> Corruption | None:
        try:
            said = json.loads(atomic.read(self.path, _LARGEST))
            drivers = tuple(LinkDriver(str(link), str(driver)) for link, driver in said["links"])
            peers = tuple(map(str, said["peers"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            log.warning("offload_unread", path=self.path, error=error)
            return None
        return Corruption(drivers, peers) if peers else None

    def save(self, found: Corruption | None) -> None:
        links = [[each.link, each.driver] for each in found.drivers] if found is not None else []
        said = {"links": links, "peers": list(found.peers) if found is not None else []}
        atomic.write(self.path, json.dumps(said).encode() + b"\n", mode=0o600)
