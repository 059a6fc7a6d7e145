"""`python -m integration.faults FILE`: the table of the faults that were tried and survived."""

from __future__ import annotations

import sys
from pathlib import Path

from integration.faults.outcome import read, table

if __name__ == "__main__":
    sys.stdout.write(table(read(Path(sys.argv[1]))))
