"""The requirements of a Docker engine on its host, whatever kind of host that is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Protocol


class Machine(Protocol):
    """A host with files of its own."""

    name: str
    namespace: str

    @property
    def directory(self) -> Path: ...
    def path(self, inside: str) -> Path: ...
    def ip_json(self, *args: str) -> Any: ...
    def run(
        self, *argv: str, check: bool = True, timeout: float = ..., stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]: ...
