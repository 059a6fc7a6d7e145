"""Settings from the files that the service has its environment from (`EnvironmentFile=` in flanpyd.service).

For flanpyctl: an operator who set something there expects every command to know it. flanpyd gets them from systemd.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from flanpy.config.environ import read_environ
from flanpy.config.settings import Origin
from flanpy.config.sources import Given

SERVICE_FILES: Final = (Path("/etc/default/flanpyd"), Path("/etc/sysconfig/flanpyd"))
"""The later one wins, as with systemd."""

_ASSIGNMENT: Final = re.compile(r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=(?P<value>.*)", re.DOTALL)


def read_service_files(paths: Iterable[Path]) -> dict[str, Given]:
    """Texts by option name; a file that is not there, or not to be read by us, says nothing. Raises ConfigError."""
    given: dict[str, Given] = {}
    for path in paths:
        for name, one in read_environ(_variables(path)).items():
            given[name] = replace(one, origin=Origin(one.origin.source, f"{one.origin.where} in {path}"))
    return given


def _variables(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return {}
    return dict(_assignments(text.replace("\\\n", "")))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """As systemd.exec(5) has it: `#` and `;` begin comments, quotes are optional, and blanks inside need none."""
    for line in text.splitlines():
        found = _ASSIGNMENT.fullmatch(line)
        if found and not line.lstrip().startswith(("#", ";")):
            yield found["name"], _unquoted(found["value"].strip())


def _unquoted(value: str) -> str:
    if value[:1] not in {'"', "'"}:
        return value
    try:
        return "".join(shlex.split(value))
    except ValueError:  # a quote that is not closed
        return value
