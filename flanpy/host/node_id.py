"""The identity of this host: a name that outlives address changes, restarts and reboots.

Owns the choice: as configured, else a hash of the machine id, else a random one made once and kept in the state
directory. Copies of one disk image share a machine id unless it is reset (`systemd-firstboot`, or an empty
/etc/machine-id in the image); such hosts need a configured node id.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flanpy.files import atomic
from flanpy.model.host_name import host_name

MACHINE_ID: Final = Path("/etc/machine-id")
FILE_NAME: Final = "node-id"
_APPLICATION: Final = b"flanpy node id"
_DIGITS: Final = 16
_LARGEST: Final = 64


@dataclass(frozen=True, slots=True)
class NodeId:
    """The identity and, for the log, where it came from."""

    text: str
    origin: str

    def __str__(self) -> str:
        return self.text


def node_id(configured: str | None, *, state_dir: Path, machine_id: Path = MACHINE_ID) -> NodeId:
    """Return the id for the daemon, which owns the directory. Raises HostError if a new id cannot be kept."""
    known = known_node_id(configured, state_dir=state_dir, machine_id=machine_id)
    path = state_dir / FILE_NAME
    return known or NodeId(_made_up(path), str(path))


def known_node_id(configured: str | None, *, state_dir: Path, machine_id: Path = MACHINE_ID) -> NodeId | None:
    """Return the id for commands, which make none: only the daemon writes the file."""
    if configured:
        return NodeId(configured, "setting node-id")
    if (hashed := _hash_of_machine(machine_id)) is not None:
        return NodeId(hashed, f"hash of {machine_id}")
    path = state_dir / FILE_NAME
    kept = _kept(path)
    return NodeId(kept, str(path)) if kept is not None else None


def advertised_name(configured: str | None, *, node_id: str | None, system: str | None = None) -> str:
    """Return the name of this host for its lease: as configured, else the system's, "" to advertise none.

    A configured node id is a name that somebody chose: hosts in containers of one machine share the system's.
    """
    if configured is not None or node_id is not None:
        return configured or ""
    return host_name(os.uname().nodename if system is None else system)


def _hash_of_machine(path: Path) -> str | None:
    """Hash the machine id. machine-id(5): the id itself must not leave the machine, an application's keyed hash may.

    None without a usable id: the file may be missing, empty, or say "uninitialized" during the first boot.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    if not re.fullmatch(r"[0-9a-f]{32}", text) or not int(text, 16):
        return None
    return hmac.new(bytes.fromhex(text), _APPLICATION, hashlib.sha256).hexdigest()[:_DIGITS]


def _kept(path: Path) -> str | None:
    try:
        text = atomic.read(path, _LARGEST).decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if re.fullmatch(rf"[0-9a-f]{{{_DIGITS}}}", text) else None


def _made_up(path: Path) -> str:
    text = os.urandom(_DIGITS // 2).hex()
    atomic.write(path, f"{text}\n".encode())
    return text
