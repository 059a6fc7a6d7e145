"""`python -m integration.drivers.matrix FILE`: the table of the faults that were tried; 1 if not all survived."""

from __future__ import annotations

import sys
from pathlib import Path

from integration.drivers.matrix.outcome import exit_status, read, table

if __name__ == "__main__":
    outcomes = read(Path(sys.argv[1]))
    sys.stdout.write(table(outcomes))
    sys.exit(exit_status(outcomes))
