"""The table of names: what a name means to whom, and that nobody learns of networks that they are not on."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.address import IPAddress
from flanpy.model.networks.names import FLAT, NamedContainer, ToldNames
from flanpy.names.table import Asker, NameTable, reverse_address

SHOP, BOTH, FLAT_ONLY = Asker(("shop",)), Asker(("lab", "shop")), Asker((FLAT,))


def box(name: str, *addresses: str, aliases: tuple[str, ...] = (), created: int = 0) -> NamedContainer:
    return NamedContainer(name, tuple(map(ip_address, addresses)), aliases, created=created)


def table() -> NameTable:
    """Two hosts on `shop`, one on `lab`, and both on the flat overlay."""
    made = NameTable("n1")
    made.put(ToldNames("shop", "n2", "h2.example", (box("web", "10.96.2.2", aliases=("svc",)),)))
    made.put(
        ToldNames(
            "shop",
            "n1",
            "h1",
            (box("Web-1", "10.96.1.2", "fd96::2", aliases=("svc",)), box("a.b", "10.96.1.3")),
        )
    )
    made.put(ToldNames("lab", "n2", "h2.example", (box("web", "10.97.0.9"),)))
    made.put(ToldNames(FLAT, "n2", "h2.example", (box("web", "10.50.2.2"),)))
    return made


def found(name: str, asker: Asker) -> list[str] | None:
    addresses = table().find(name, asker)
    return None if addresses is None else [str(one) for one in addresses]


def test_name_is_found_by_each_way_to_write_it() -> None:
    for name in ("web", "web.", "WEB", "web.shop", "web.Shop.flanpy.internal", "web.shop.flanpy.internal."):
        assert found(name, SHOP) == ["10.96.2.2"], name
    assert found("web-1.shop", SHOP) == ["10.96.1.2", "fd96::2"]


def test_name_with_dots_is_found_as_it_stands_and_with_its_network() -> None:
    assert found("a.b", SHOP) == found("a.b.shop", SHOP) == ["10.96.1.3"]


def test_addresses_of_the_own_host_come_first() -> None:
    for _ in range(20):
        assert found("svc", SHOP) == ["10.96.1.2", "fd96::2", "10.96.2.2"]


def test_older_of_two_containers_of_one_name_or_address_comes_first() -> None:
    made = NameTable("n1")
    for node, address, created in (
        ("n2", "10.96.2.2", 0),
        ("n3", "10.96.3.2", 900),
        ("n4", "10.96.4.2", 100),
    ):
        boxes = (box("db", address, created=created), box(f"on-{node}", "10.96.7.7", created=created))
        made.put(ToldNames("shop", node, node, boxes))
    for _ in range(20):
        addresses = made.find("DB", SHOP) or ()
        assert [str(one) for one in addresses] == ["10.96.4.2", "10.96.3.2", "10.96.2.2"]
        assert made.find("db.shop.flanpy.internal", SHOP) == addresses
    assert made.reverse(ip_address("10.96.7.7"), SHOP) == "on-n4.shop.flanpy.internal"
    made.drop("shop", "n4")
    assert made.reverse(ip_address("10.96.7.7"), SHOP) == "on-n3.shop.flanpy.internal"
    made.put(ToldNames("shop", "n1", "h1", (box("db", "10.96.1.2", created=999),)))
    addresses = made.find("db", SHOP) or ()
    assert str(addresses[0]) == "10.96.1.2", "the own host's comes before any"


def test_alias_of_many_containers_is_shared_among_them() -> None:
    made = NameTable("n1")
    for number in range(2, 6):
        boxes = (box(f"c{number}", f"10.96.{number}.2", aliases=("svc",), created=number),)
        made.put(ToldNames("shop", f"n{number}", "", boxes))
    assert len({made.find("svc", SHOP) for _ in range(200)}) > 1


def test_asker_learns_of_own_networks_only_and_looks_in_them_in_order() -> None:
    assert found("web", BOTH) == ["10.97.0.9"]
    assert found("web.shop", BOTH) == ["10.96.2.2"]
    assert found("web.lab", SHOP) is None
    assert found("web.lab.flanpy.internal", SHOP) is None
    assert found("web", Asker(())) is None
    assert table().reverse(ip_address("10.97.0.9"), SHOP) is None


def test_flat_overlay_is_asked_by_host_and_by_whole_name_alone() -> None:
    assert found("web.h2.flanpy.internal", FLAT_ONLY) == ["10.50.2.2"]
    assert found("web.h2.example.flanpy.internal", FLAT_ONLY) == ["10.50.2.2"]
    assert found("web", FLAT_ONLY) is None
    assert found("web.h2", FLAT_ONLY) is None
    assert found("web.h2.flanpy.internal", SHOP) is None
    assert found("web.flanpy.flanpy.internal", FLAT_ONLY) is None


def test_address_has_the_whole_name() -> None:
    assert table().reverse(ip_address("10.96.1.2"), SHOP) == "Web-1.shop.flanpy.internal"
    assert table().reverse(ip_address("10.50.2.2"), FLAT_ONLY) == "web.h2.example.flanpy.internal"
    assert table().networks_of(ip_address("10.96.1.3")) == ("shop",)
    assert table().networks_of(ip_address("10.96.2.2")) == ()


def test_what_a_host_tells_replaces_what_it_told() -> None:
    made = table()
    made.put(ToldNames("shop", "n2", "h2", (box("db", "10.96.2.7"),)))
    assert made.find("web", SHOP) is None
    assert made.find("db", SHOP) == (IPv4Address("10.96.2.7"),)
    made.drop("shop", "n2")
    made.drop("shop", "nobody")
    assert made.find("db", SHOP) is None
    assert made.counts() == {FLAT: 1, "lab": 1, "shop": 3}


def test_name_that_no_question_can_ask_for_is_left_out() -> None:
    made = NameTable("n1")
    bad = (
        "x" * 64,
        "a..b",
        ".a",
        "a.",
        "",
        "tab\t",
        "\u00e4",
        ".".join(["y" * 60] * 5),
    )
    made.put(ToldNames("shop", "n1", "h1", tuple(box(name, "10.96.1.2") for name in (*bad, "x" * 63, "a_b"))))
    assert made.counts() == {"shop": 2}
    made.drop("shop", "n1")
    assert made.counts() == {}


NAMES = st.sampled_from(["web", "WEB", "db", "a.b", "b"])
ADDRESSES = st.sampled_from([ip_address("10.96.1.2"), ip_address("10.96.1.3"), ip_address("fd96::1")])
BOXES = st.builds(
    NamedContainer,
    NAMES,
    st.lists(ADDRESSES, max_size=2).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
    created=st.sampled_from([0, 1, 1_800_000_000]),
)
TOLD = st.builds(
    ToldNames,
    st.sampled_from(["shop", "lab", FLAT]),
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["h1", ""]),
    st.lists(BOXES, max_size=3).map(tuple),
)


@given(st.lists(TOLD, max_size=8))
def test_table_depends_on_what_was_told_last_and_not_on_the_way_there(told: list[ToldNames]) -> None:
    made, fresh = NameTable("n1"), NameTable("n1")
    for one in told:
        made.put(one)
    for one in {(one.network, one.node_id): one for one in told}.values():
        fresh.put(one)
    assert list(made.told()) == list(fresh.told())
    assert made.counts() == fresh.counts()
    everywhere = Asker(("shop", "lab", FLAT))
    for name in ("web", "db.shop", "a.b", "web.h1.flanpy.internal", "b.lab.flanpy.internal"):
        assert _as_set(made.find(name, everywhere)) == _as_set(fresh.find(name, everywhere))
    for one in told:
        made.drop(one.network, one.node_id)
    assert made.counts() == {}
    assert not list(made.told())
    assert made.reverse(ip_address("10.96.1.2"), everywhere) is None


def _as_set(found: tuple[IPAddress, ...] | None) -> set[IPAddress] | None:
    return None if found is None else set(found)


@given(st.ip_addresses())
def test_reverse_name_is_read_back(address: IPAddress) -> None:
    assert reverse_address(address.reverse_pointer) == address
    assert reverse_address(address.reverse_pointer.upper() + ".") == address


@given(st.text(alphabet="0123456789abcdef.x-", max_size=80))
def test_reverse_name_is_an_address_or_none(text: str) -> None:
    for zone in ("in-addr.arpa", "ip6.arpa"):
        assert isinstance(reverse_address(f"{text}.{zone}"), IPv4Address | IPv6Address | None)
