"""Take the pictures of the page for the docs: `python -m tests.page.pictures`; with a directory, all, to look at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.page import samples
from tests.page.browser import Browser
from tests.page.server import PageServer

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture. `sight` is a colour vision deficiency as DevTools names it; `drawer` names two hosts to click."""

    name: str
    document: samples.Document
    width: int
    height: int
    dark: bool = False
    sight: str = "none"
    drawer: tuple[str, str] | None = None
    silent: bool = False
    in_docs: bool = False


def shots() -> tuple[Shot, ...]:
    well, few = (
        samples.with_day(samples.healthy()),
        samples.with_day(samples.cut(samples.healthy(), "h1", "h3")),
    )
    many = samples.with_day(samples.cut(samples.crowd(60), "h1", "node-017"))
    return (
        Shot("page-light", few, 1400, 900, in_docs=True),
        Shot("page-dark", few, 1400, 900, dark=True, in_docs=True),
        Shot("page-phone", few, 420, 1500, in_docs=True),
        Shot("page-drawer", few, 1400, 900, drawer=("h1", "h3"), in_docs=True),
        Shot("page-silent", few, 1400, 900, silent=True, in_docs=True),
        Shot("page-colour-blind", few, 1400, 900, sight="deuteranopia", in_docs=True),
        Shot("well-light", well, 1400, 900),
        Shot("well-phone-dark", well, 420, 1500, dark=True),
        Shot("tablet-light", few, 800, 1400),
        Shot("tablet-dark", few, 800, 1400, dark=True),
        Shot("tablet-blind", few, 800, 1400, sight="protanopia"),
        Shot("phone-blind", few, 420, 1500, sight="tritanopia"),
        Shot("phone-drawer-dark", few, 420, 1100, dark=True, drawer=("h1", "h3")),
        Shot("phone-silent", few, 420, 700, silent=True),
        Shot("silent-dark", few, 1400, 900, silent=True, dark=True),
        Shot("many-dark", many, 1400, 1300, dark=True),
        Shot("many-phone", many, 420, 1500),
    )


def take(browser: Browser, shot: Shot, path: Path, look: Callable[[], None] = lambda: None) -> None:
    """Open the page as the shot asks, take its picture, and `look` at it as it is then."""
    browser.window(shot.width, shot.height, dark=shot.dark)
    browser.call("Emulation.setEmulatedVisionDeficiency", type=shot.sight)
    with PageServer(shot.document) as server:
        browser.open(server.url)
        browser.until("document.querySelectorAll('#leases tbody tr').length")
        if shot.drawer is not None:
            one, other = shot.drawer
            browser.ask(f"document.querySelector('td[data-from={one}][data-to={other}]').click()")
            browser.until("document.querySelectorAll('#drawer figure').length", lambda found: found == 2)
        if shot.silent:
            server.stop()
            browser.until("document.querySelector('.verdict.unknown') !== null")
        browser.picture(path, height=shot.height)
        look()
    browser.call("Emulation.setEmulatedVisionDeficiency", type="none")


def main() -> None:
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with Browser() as browser:
        for shot in shots():
            if where is not None or shot.in_docs:
                take(browser, shot, (where or PICTURES) / f"{shot.name}.png")


if __name__ == "__main__":
    main()
