"""The `dns` that apply left in daemon.json: found, and taken out by itself, while our other keys stay.

For a host that flanpy leaves: an address that nobody has any more costs containers 4 s a look-up.
"""

from __future__ import annotations

from pathlib import Path

from flanpy.docker import config_file, merge
from flanpy.docker.merge import Merged
from flanpy.docker.name_servers import NameServers


def left(file: Path, servers: NameServers) -> Merged:
    """Return the content without our resolver; no changes where apply did not write it. Raises DockerError."""
    found = config_file.read(file)
    return merge.forget_servers(
        found.content, config_file.read_backup(found), name=str(file), servers=servers
    )


def forget(file: Path, servers: NameServers) -> None:
    """Take it out; the backup stays for the other keys. Raises DockerError."""
    found = config_file.read(file)
    with config_file.held(found.target):
        merged = left(file, servers)
        if merged.changes:
            config_file.replace(config_file.read(file), merged.content, backup=False)
