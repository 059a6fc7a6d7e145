"""Settings from systemd's credentials: files that only the service can read, named `flanpyd.` and the option's name.

The path of such a file is the option's value; for a secret that is a text (etcd-password) its first line is. A file is
there or not: none is an error. systemd.exec(5) says how they get there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from flanpy.config.option import Option
from flanpy.config.options import OPTIONS
from flanpy.config.settings import Origin
from flanpy.config.sources import Given
from flanpy.errors import ConfigError

STORE: Final = Path("/etc/credstore")
"""Where systemd takes them from. Root's own commands read them there, as a service's are hidden from everybody."""

PREFIX: Final = "flanpyd."
_VARIABLE: Final = "CREDENTIALS_DIRECTORY"


def read_credentials(environ: Mapping[str, str], store: Path | None = None) -> dict[str, Given]:
    """Texts by option name, from the service's own directory, else from `store`. Raises ConfigError."""
    named = environ.get(_VARIABLE)
    directory = Path(named) if named else store
    return {} if directory is None else dict(_found(directory))


def _found(directory: Path) -> Iterator[tuple[str, Given]]:
    for option in OPTIONS:
        path = directory / f"{PREFIX}{option.name}"
        if option.credential and _is_there(path):
            yield option.name, Given((_text(option, path),), Origin("credential", str(path)))


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a store that is root's alone
        return False


def _text(option: Option, path: Path) -> str:
    if not option.secret:
        return str(path)
    try:
        return path.read_text().split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else "it is not text"
        raise ConfigError(f"credential {path} cannot be read: {why}") from cause
