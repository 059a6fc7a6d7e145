"""What /proc says of a process: CPU time and memory."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

KIB = 1024
MB = 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of all living threads, to the nanosecond (proc_pid_stat counts in hundredths of a second)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int) -> dict[str, float]:
    """Megabytes (10^6): Pss, Rss and so on as in smaps_rollup, and `Alone`.

    Alone is the PSS that the process would have were it the only Python of the machine: pages of Python's own files
    count in full, whoever else has them mapped at the moment. That figure does not depend on what else is running.
    """
    totals: Counter[str] = Counter()
    for path, sizes in mappings(pid):
        for name, size in sizes.items():
            totals[name] += size
        totals["Alone"] += sizes["Rss" if _is_pythons(path) else "Pss"]
    return {name: size * KIB / MB for name, size in totals.items()}


def mappings(pid: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Every mapping with its file (or "" or [heap]) and its sizes in KiB."""
    path, sizes = "", {}
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0].endswith(":"):
            if words[-1] == "kB":
                sizes[words[0][:-1]] = int(words[1])
            continue
        if sizes:
            yield path, sizes
        path, sizes = (words[5] if len(words) > 5 else ""), {}
    if sizes:
        yield path, sizes


def _is_pythons(path: str) -> bool:
    homes = {str(Path(home).resolve()) for home in (sys.prefix, sys.base_prefix)} | {
        sys.prefix,
        sys.base_prefix,
    }
    return path.startswith("/") and (
        "python" in Path(path).name or any(path.startswith(f"{h}/") for h in homes - {"/usr"})
    )
