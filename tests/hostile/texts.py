"""Text that strangers would send, and the question whether text is fit to be shown."""

from __future__ import annotations

import re

from hypothesis import strategies as st

BITES = (
    "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\n", "\r", "\t", "\x00", "\x7f", "\u0085", "\u2028", "\u202e", "\ufeff",
    "\ud800", "\udfff", "$(id)", "`id`", "; reboot", "../../etc/passwd", "%s%n", "{0}", "' or 1=1", '"', "\\", "-rf",
)  # fmt: skip

texts = st.lists(st.one_of(st.sampled_from(BITES), st.text(max_size=8)), max_size=6).map("".join)

json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just(10**400), st.just("x" * 5000),
        st.sampled_from(["10.50.7.0", "10.50.0.0/16", "192.0.2.9", "fd50::/48", "vxlan", "udp", "02:00:00:00:00:01"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip

LONGEST_SAID = 1500
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def controls(text: str) -> list[str]:
    """Return the characters in it that a terminal would obey, or that no encoding has."""
    return [ascii(found) for found in _CONTROL.findall(text)]


def assert_sayable(text: str) -> None:
    """Assert that the text is one short line that a log and a terminal can take."""
    assert controls(text) == [], ascii(text)
    assert len(text) <= LONGEST_SAID, len(text)
    text.encode()
