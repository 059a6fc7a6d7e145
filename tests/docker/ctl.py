"""flanpyctl as a program of the tests: `python -m tests.docker.ctl WORDS`."""

from __future__ import annotations

import sys

from flanpy.cli.main import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
