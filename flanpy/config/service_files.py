"""Settings from the files that the service has its environment from (`EnvironmentFile=` in flanpyd.service).

For flanpyctl: an operator who set something there expects every command to know it. flanpyd gets them from systemd.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from flanpy.config.environ import read_environ
from flanpy.config.settings import Origin
from flanpy.config.sources import Given
from flanpy.files.environment_file import continued_comments, read_environment_file

SERVICE_FILES: Final = (Path("/etc/default/flanpyd"), Path("/etc/sysconfig/flanpyd"))
"""The later one wins, as with systemd."""


def read_service_files(paths: Iterable[Path]) -> dict[str, Given]:
    """Texts by option name; a file that is not there, or not to be read by us, says nothing. Raises ConfigError."""
    given: dict[str, Given] = {}
    for path in paths:
        for name, one in read_environ(_variables(path)).items():
            given[name] = replace(one, origin=Origin(one.origin.source, f"{one.origin.where} in {path}"))
    return given


def service_environment(paths: Iterable[Path]) -> dict[str, str]:
    """Return the variables of the files, the later file's where two have one."""
    return {name: value for path in paths for name, value in _variables(path).items()}


def read_otherwise(paths: Iterable[Path]) -> list[str]:
    """Return one line for each comment by which an older systemd reads a file differently."""
    return [
        f"line {number} of {path} is a comment that ends in a backslash: systemd before 254 leaves out the next"
        " line, too; remove the backslash"
        for path in paths
        for number in continued_comments(_content(path))
    ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _variables(path: Path) -> Mapping[str, str]:
    try:
        return read_environment_file(path)
    except OSError:
        return {}
