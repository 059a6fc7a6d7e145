"""`flanpyctl store backup`: a copy of the store, over the network.

Owns the file: it is there whole, with its checksum compared, or not at all.
"""

from __future__ import annotations

import hashlib
import os
from argparse import Namespace
from pathlib import Path
from typing import BinaryIO, Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.files.atomic import host_error, take_name

_DIGEST: Final = hashlib.sha256().digest_size
_PAGE: Final = 512
"""etcd's file and ours are made of pages; what is left over is the checksum."""


class _Copy:
    """The file as it is written, and the digest of all of it but the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._tail = b""
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Write a piece."""
        self._file.write(piece)
        self.size += len(piece)
        whole = self._tail + piece
        self._digest.update(whole[:-_DIGEST])
        self._tail = whole[-_DIGEST:]

    def is_whole(self) -> bool:
        """Tell whether it ends in its own checksum."""
        return self.size % _PAGE == _DIGEST and self._tail == self._digest.digest()


def backup(arguments: Namespace, host: Host) -> Exit:
    """Write FILE; CONFLICT if it is there already."""
    target = Path(arguments.file)
    if target.exists() and not arguments.force:
        raise CommandError(Exit.CONFLICT, f"'{target}' is there already: choose another name, or say --force")
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            copy = _Copy(file)
            with_etcd(host.settings, lambda session: session.save(copy.add))
        if not copy.is_whole():
            raise CommandError(Exit.FAILURE, "the copy came without its checksum, or altered: try again")
        take_name(fresh, target)
    except OSError as error:
        raise host_error("write", target, error) from error
    finally:
        fresh.unlink(missing_ok=True)
    print(printable(f"wrote {copy.size - _DIGEST} bytes to {target}; checksum compared"))
    return Exit.OK
