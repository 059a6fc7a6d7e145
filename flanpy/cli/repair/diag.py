"""`flanpyctl diag`: one archive of what support needs to know, without secrets.

Owns how it is packed; `diag_sources` says what is in it. Everything goes through `secrets` last, whatever its source.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.repair.diag_sources import parts
from flanpy.cli.repair.secrets import without_secrets
from flanpy.config.options import OPTIONS
from flanpy.errors import FlanpyError, HostError

_MODE = 0o600
_MISSING = "missing.txt"


def bundle(arguments: Namespace, host: Host) -> Exit:
    """Write the archive, say where and what is missing in it."""
    texts, missing = gathered(arguments, host)
    at = time.time()
    stem = f"flanpy-diag-{_safe(host.node_id or 'host')}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}"
    path = Path(arguments.file or f"{stem}.tar.gz")
    _write(path, packed(texts, stem, at))
    print(path)
    for line in missing:
        print(f"missing: {line}", file=sys.stderr)
    return Exit.OK


def gathered(arguments: Namespace, host: Host) -> tuple[dict[str, str], list[str]]:
    """The files of the archive by name, and one line for each that could not be had."""
    known = secrets_of(host)
    texts: dict[str, str] = {}
    missing: list[str] = []
    for name, make in parts(arguments, host):
        try:
            text = make()
        except (FlanpyError, OSError) as error:
            missing.append(without_secrets(f"{name}: {' '.join(str(error).split())}", known))
        else:
            texts[name] = without_secrets(text, known)
    texts[_MISSING] = "".join(f"{line}\n" for line in missing)
    return texts, missing


def secrets_of(host: Host) -> tuple[str, ...]:
    """Return the secrets of the settings, which must not leave this host; none if the settings cannot be read."""
    try:
        settings = host.settings
    except FlanpyError:
        return ()
    return tuple(str(option.of(settings)) for option in OPTIONS if option.secret and option.of(settings))


def _safe(name: str) -> str:
    return (
        "".join(char if char.isalnum() or char in "._-" else "_" for char in name).lstrip(".-")[:64] or "host"
    )


def packed(texts: Mapping[str, str], directory: str, at: float) -> bytes:
    """A gzipped tar archive of one directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in sorted(texts.items()):
            body = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"{directory}/{name}")
            entry.size, entry.mtime, entry.mode = len(body), int(at), _MODE
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def _write(path: Path, body: bytes) -> None:
    """Nobody else may read it at any moment: the file is a new one, even where another user made one of its name.
    Raises HostError.

    A link under that name is refused, and what it leads to stays as it is.
    """
    if path.is_symlink():
        raise HostError(f"cannot write {path}: it is a symbolic link; name another place with -f")
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with os.fdopen(target, "wb") as file:
                os.fchmod(file.fileno(), _MODE)
                file.write(body)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}; name another place with -f") from error
