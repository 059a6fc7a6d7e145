"""`python -m docs.generate`: write what is made from the code.

reference [DIRECTORY]     the reference pages, to docs/reference
man DIRECTORY             the manual pages
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate.source import ROOT
from flanpy.log import configure


def main(arguments: list[str]) -> None:
    configure(level="error")  # an example's status is made by the daemon's own code, which would tell of it
    match arguments:
        case ["reference", *where] if len(where) <= 1:
            from docs.generate.reference import pages  # noqa: PLC0415, manual pages need less

            _write(pages(), Path(where[0]) if where else ROOT / "docs/reference")
        case ["man", where]:
            from docs.generate.man import pages as manuals  # noqa: PLC0415

            _write(manuals(), Path(where))
        case _:
            raise SystemExit(__doc__)


def _write(pages: dict[str, str], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (directory / name).write_text(text)


main(sys.argv[1:])
