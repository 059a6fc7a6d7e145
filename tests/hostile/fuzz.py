"""Coverage-guided fuzzing: `python -m tests.hostile.fuzz [--seconds N] [--corpus DIRECTORY] [TARGET...]`.

Needs `pip install atheris` (Linux, CPython 3.11), which nothing else does. Each target runs in a process of its own:
an input that kills one must not keep the others from theirs. An input that is read wrongly is printed, and kept in the
corpus as `crash-*`; it belongs into `targets.FOUND` then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

CORPUS = Path("build/fuzz")
LARGEST = 4096


def main(argv: Sequence[str]) -> int:
    """Fuzz every target in turn; 1 if any was read wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help=f"what was interesting so far ({CORPUS})")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="only these (all)")
    typed = parser.parse_args(argv)
    if typed.here:
        _fuzz(typed.targets[0], typed.corpus / typed.targets[0], typed.seconds)
    from tests.hostile.targets import TARGETS  # noqa: PLC0415, instrumented where it is fuzzed

    if unknown := [name for name in typed.targets if name not in TARGETS]:
        parser.error(f"there is no {unknown[0]}, there are {', '.join(TARGETS)}")
    failed = [name for name in typed.targets or TARGETS if _ended_badly(name, typed.corpus, typed.seconds)]
    print(f"{len(typed.targets or TARGETS)} targets, wrong: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _ended_badly(name: str, corpus: Path, seconds: int) -> bool:
    argv = [
        sys.executable,
        "-m",
        "tests.hostile.fuzz",
        "--here",
        f"--seconds={seconds}",
        f"--corpus={corpus}",
        name,
    ]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, errors="replace")
    tail = [line for line in done.stderr.splitlines() if line.startswith(("#", "Done"))][-1:]
    print(f"{name}: {tail[0] if tail and not done.returncode else done.stderr[-3000:]}", flush=True)
    return done.returncode != 0


def _fuzz(name: str, corpus: Path, seconds: int) -> None:
    atheris = import_module("atheris")  # a tool that only this needs

    with atheris.instrument_imports(include=["flanpy", "json", "ipaddress", "shlex"]):
        from tests.hostile.targets import FOUND, TARGETS  # noqa: PLC0415
    target, seeds = TARGETS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate((*seeds, *FOUND.get(name, ()))):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        f"-artifact_prefix={corpus}/",
        "-timeout=20",
    ]
    atheris.Setup(["fuzz", *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
