"""CPU time and memory of a process, by /proc."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

KIB_IN_MIB = 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of all living threads, to the nanosecond (proc_pid_stat counts in hundredths of a second)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int) -> dict[str, float]:
    """Mebibytes: Pss, Rss, Anonymous and so on as in smaps_rollup, and `Alone`.

    Alone is the PSS that the process would have were it the only Python of the machine: every file but those that all
    processes map (the C library) counts in full, however many have it mapped at the moment. PSS itself is smaller the
    more other Pythons happen to run.
    """
    totals: Counter[str] = Counter()
    for path, sizes in mappings(pid):
        totals.update(sizes)
        totals["Alone"] += sizes["Pss" if _is_everybodys(path) else "Rss"]
    return {name: size / KIB_IN_MIB for name, size in totals.items()}


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


def _is_everybodys(path: str) -> bool:
    return Path(path).name.startswith(("libc.", "libm.", "ld-linux")) or "/locale/" in path
