"""Membership of hosts in a named network: everybody, or those that are called as its list says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.networks.membership import attached, is_entry, is_member, left

H7 = ("web", "h7", "node-7")


@pytest.mark.parametrize(
    ("hosts", "member"),
    [
        ((), True),
        (("web",), True),
        (("h7",), True),
        (("node-7",), True),
        (("db", "h8"), False),
        (("!h8",), True),
        (("!h7",), False),
        (("!web",), False),
        (("web", "!node-7"), False),
        (("db", "!h8"), False),
    ],
)
def test_host_is_a_member_by_its_labels_and_names(hosts: tuple[str, ...], member: bool) -> None:
    assert is_member(hosts, H7) is member


@given(st.lists(st.sampled_from(["web", "db", "h7", "h8", "node-7", "!h7", "!h8", "!node-7"])))
def test_host_is_on_the_network_once_attached_and_off_it_once_it_left(hosts: list[str]) -> None:
    names = H7[1:]
    there, gone = attached(hosts, names), left(hosts, names)
    assert is_member(there, H7)
    assert not is_member(gone, H7)
    assert is_member(attached(gone, names), H7)
    assert left(gone, names) == gone
    for other in (("db", "h8", "node-8"), ("mail", "h9", "node-9")):
        assert is_member(gone, other) is is_member(hosts, other)


@pytest.mark.parametrize("text", ["", "!", "a b", "-a", "a" * 64, "!!a", "ä", "a\n"])
def test_text_that_is_no_host_is_no_entry(text: str) -> None:
    assert not is_entry(text)
