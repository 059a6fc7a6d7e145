"""Takes the README's pictures of the page: `python -m tests.page.pictures`."""

from __future__ import annotations

from pathlib import Path

from tests.page import samples
from tests.page.browser import Browser
from tests.page.server import PageServer

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def main() -> None:
    few = samples.cut(samples.healthy(), "h1", "h3")
    many = samples.cut(samples.crowd(60), "h1", "node-017")
    shots = (
        ("page-light", few, 1280, 1180, False),
        ("page-dark", many, 1280, 1720, True),
        ("page-phone", few, 360, 900, False),
    )
    with Browser() as browser:
        for name, document, width, height, dark in shots:
            with PageServer(document) as server:
                browser.window(width, height, dark=dark)
                browser.open(server.url)
                browser.until("document.querySelectorAll('#leases tbody tr').length")
                browser.picture(PICTURES / f"{name}.png", height=height)


if __name__ == "__main__":
    main()
