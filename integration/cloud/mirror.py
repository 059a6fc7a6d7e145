"""Makes kernel routes, in the namespace it runs in, of what an emulated provider's route table says."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping

PROTO = "77"
PERIOD_S = 0.05


class Mirror:
    """`table` gives the next hop of each destination; None is a black hole. `metric` keeps providers apart."""

    def __init__(self, table: Callable[[], Mapping[str, str | None]], *, metric: int) -> None:
        self._table = table
        self._end = f"proto {PROTO} metric {metric}"
        self._standing: dict[str, str | None] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="mirror", daemon=True).start()

    def _run(self) -> None:
        while True:
            wanted = dict(self._table())
            lines = [f"route del {to} {self._end}" for to in self._standing if to not in wanted]
            for to, hop in wanted.items():
                if to not in self._standing or self._standing[to] != hop:
                    way = f"{to} via {hop}" if hop else f"blackhole {to}"
                    lines.append(f"route replace {way} {self._end}")
            if lines:
                subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines).encode(), check=False)
            self._standing = wanted
            time.sleep(PERIOD_S)
