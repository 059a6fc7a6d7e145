"""Addresses that several containers of a network have: found by each change, and only while they are shared."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.address import Mac
from flanpy.model.networks.names import FLAT, NamedContainer, SharedAddress, ToldNames
from flanpy.names.shared import AddressHolders
from flanpy.names.table import NameTable

MAC, OTHER = Mac.parse("02:42:0a:60:4d:05"), Mac.parse("02:42:0a:60:00:09")


def told(node: str, *boxes: NamedContainer, network: str = "shop") -> ToldNames:
    return ToldNames(network, node, f"host-{node}", boxes)


def box(name: str, address: str, mac: Mac | None = None) -> NamedContainer:
    return NamedContainer(name, (ip_address(address),), (), mac)


def table(*all_told: ToldNames) -> NameTable:
    made = NameTable("n1")
    for one in all_told:
        made.put(one)
    return made


DB, WEB = box("db", "10.96.77.5", MAC), box("web", "10.96.77.5", MAC)
TWICE = (SharedAddress("shop", "10.96.77.5", (("n1", "host-n1", "db"), ("n2", "host-n2", "web"))),)


def test_address_of_two_hosts_is_told_on_both_until_one_gives_it_up() -> None:
    made = table(told("n1", DB), told("n2", WEB))
    assert made.holders.shared_with("n1") == TWICE, (
        "the MAC that Docker makes of the address is not told beside it"
    )
    assert [one.holders[0][2] for one in made.holders.shared_with("n2")] == ["web"]
    assert made.holders.shared_with("n3") == ()
    made.put(told("n2", box("web", "10.96.77.6", OTHER)))
    assert made.holders.shared_with("n1") == ()
    made.put(told("n2", WEB))
    made.drop("shop", "n2")
    assert made.holders.shared_with("n1") == ()


def test_mac_and_ipv6_address_that_are_taken_twice_are_told_also_on_one_host() -> None:
    made = table(told("n1", box("one", "10.96.1.2", MAC), box("two", "10.96.1.3", MAC)))
    assert [one.address for one in made.holders.shared_with("n1")] == [str(MAC)]
    made = table(told("n1", box("one", "fd00:96::5")), told("n2", box("two", "fd00:96::5")))
    assert [one.address for one in made.holders.shared_with("n1")] == ["fd00:96::5"]


def test_other_networks_and_the_flat_overlay_share_nothing() -> None:
    made = table(told("n1", DB), told("n2", WEB, network="lab"))
    made.put(told("n1", DB, network=FLAT))
    made.put(told("n2", WEB, network=FLAT))
    assert made.holders.shared_with("n1") == ()


_TOLD = st.builds(
    lambda node, boxes: told(node, *boxes),
    st.sampled_from(["n1", "n2", "n3"]),
    st.lists(
        st.builds(box, st.sampled_from(["a", "b"]), st.sampled_from(["10.96.0.2", "10.96.0.3"])),
        max_size=2,
        unique_by=lambda one: one.name,
    ),
)


@given(st.lists(_TOLD, max_size=8))
def test_what_is_shared_depends_on_what_was_told_last_and_not_on_the_way_there(
    changes: list[ToldNames],
) -> None:
    made = table(*changes)
    last = {one.node_id: one for one in changes}
    fresh = AddressHolders()
    for one in last.values():
        fresh.put(one)
    for node in ("n1", "n2", "n3"):
        assert made.holders.shared_with(node) == fresh.shared_with(node)
