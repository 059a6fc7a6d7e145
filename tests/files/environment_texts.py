"""Texts of environment files, put together at random from what systemd's grammar gives a meaning to."""

from __future__ import annotations

from random import Random

PIECES = (
    "A", "b", "=", "=", " ", "  ", "\t", "\n", "\n", "\\", "\\", "\\\n", "'", '"', "#", ";", "$", "`", "$A", "export ",
    "\r", "\\$", '\\"', "\\'", "1", "-", "\u00e9", "\x07", "TEST_A=", "\nTEST_B=", "\nTEST_C='", '\nTEST_D="', "\n# ",
)  # fmt: skip


def environment_texts(count: int, *, seed: int) -> list[str]:
    """Return texts of some lines each. No comment ends with a backslash: that depends on systemd's version."""
    rng = Random(seed)
    texts = ("TEST_A=" + "".join(rng.choices(PIECES, k=rng.randint(2, 40))) for _ in range(count))
    return [text for text in texts if not ("#" in text or ";" in text) or "\\" not in text]
