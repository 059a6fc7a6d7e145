"""The view of all hosts' names: what counts of a record, and when the names of a host go."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address

from flanpy.model.networks.names import FLAT, ToldNames
from flanpy.names.own import own_names
from flanpy.names.records import encode_names, names_key
from flanpy.names.table import Asker
from flanpy.names.view import NamesView
from flanpy.store.port import Deletion, Delta, KeyValue, Progress, Snapshot, Stale
from tests.names.test_table import box

PREFIX = "/p"
SHOP_RANGE, FLAT_RANGE = IPv4Network("10.96.0.0/16"), IPv4Network("10.50.0.0/16")
RANGES = {"shop": (SHOP_RANGE,), FLAT: (FLAT_RANGE,)}
WEB = ToldNames("shop", "n2", "h2", (box("web", "10.96.2.2"),))
ASKER = Asker(("shop", "lab"))


def key(told: ToldNames) -> str:
    return names_key(PREFIX, told.network, told.node_id)


def kv(told: ToldNames, value: bytes | None = None) -> KeyValue:
    return KeyValue(key(told), encode_names(told) if value is None else value, 1, 2, 1, 7)


def viewing(*told: ToldNames) -> NamesView:
    view = NamesView(PREFIX, "n1")
    view.use(RANGES)
    view.after(Snapshot(tuple(map(kv, told)), 5))
    return view


def names(view: NamesView, *asked: str) -> list[bool]:
    return [view.table.find(name, ASKER) is not None for name in asked]


def gone(told: ToldNames) -> Delta:
    return Delta((), (Deletion(key(told), 9),), 9)


def test_names_of_a_host_go_once_neither_etcd_nor_probes_hear_of_it() -> None:
    view = viewing(WEB)
    view.after(gone(WEB))
    assert names(view, "web") == [True]
    assert not view.settle(lambda node: node == "n2")
    assert names(view, "web") == [True]
    assert view.settle(lambda _node: False)
    assert names(view, "web") == [False]
    assert view.known() == ()


def test_host_that_tells_again_is_not_doubted() -> None:
    view = viewing(WEB)
    view.after(gone(WEB))
    view.after(Delta((kv(WEB),), (), 10))
    assert not view.is_doubtful
    assert not view.settle(lambda _node: False)
    assert names(view, "web") == [True]


def test_container_that_is_gone_goes_at_once() -> None:
    view = viewing(WEB)
    view.after(Delta((kv(ToldNames("shop", "n2", "h2")),), (), 9))
    assert names(view, "web") == [False]


def test_lost_etcd_deletes_nothing_and_an_empty_one_only_what_nobody_vouches_for() -> None:
    view = viewing(WEB)
    stale = []
    for news in (Stale("away"), Progress(7)):
        view.after(news)
        stale.append(view.stale)
        if view.stale:
            assert not view.settle(lambda _node: False)
    assert stale == [True, False]
    view.after(Snapshot((), 1, "history_replaced"))
    assert not view.settle(lambda node: node == "n2")
    assert names(view, "web") == [True]
    assert view.settle(lambda _node: False)


def test_what_the_disk_knew_stays_until_etcd_is_heard() -> None:
    view = NamesView(PREFIX, "n1")
    view.recall((WEB, ToldNames("shop", "n1", "h1", (box("own", "10.96.1.2"),))))
    view.use(RANGES)
    assert names(view, "web", "own") == [True, False]
    assert not view.settle(lambda _node: False)
    view.after(Snapshot((), 1))
    assert view.settle(lambda _node: False)
    assert names(view, "web") == [False]


def test_record_leads_nobody_out_of_its_network() -> None:
    lying = ToldNames("shop", "n2", "h2", (box("web", "192.0.2.66"), box("db", "10.96.2.3", "10.97.0.1")))
    view = viewing(lying)
    assert view.table.find("web", ASKER) is None
    assert view.table.find("db", ASKER) == (ip_address("10.96.2.3"),)


def test_broken_record_is_named_and_what_the_host_told_before_stays() -> None:
    view = viewing(WEB)
    view.after(Delta((kv(WEB, b"{"),), (), 9))
    assert names(view, "web") == [True]
    assert list(view.invalid) == [("shop", "n2")]
    view.after(Delta((kv(WEB),), (), 10))
    assert view.invalid == {}


def test_names_of_a_network_count_while_this_host_is_on_it() -> None:
    lab = ToldNames("lab", "n2", "h2", (box("job", "10.97.0.9"),))
    view = viewing(WEB, lab)
    assert names(view, "web", "job") == [True, False]
    assert view.use({**RANGES, "lab": (IPv4Network("10.97.0.0/16"),)})
    assert names(view, "web", "job") == [True, True]
    assert view.use({FLAT: (FLAT_RANGE,)})
    assert names(view, "web", "job") == [False, False]
    assert not view.use({FLAT: (FLAT_RANGE,)})


def test_own_names_are_this_hosts_word_alone() -> None:
    mine = ToldNames("shop", "n1", "h1", (box("own", "10.96.1.2"),))
    view = viewing(ToldNames("shop", "n1", "h1", (box("ghost", "10.96.1.9"),)))
    assert names(view, "ghost") == [False]
    view.tell_own({"shop": mine})
    assert names(view, "own") == [True]
    view.after(gone(mine))
    assert not view.settle(lambda _node: False)
    assert names(view, "own") == [True]
    view.tell_own({})
    assert names(view, "own") == [False]


def test_this_host_tells_of_each_network_also_that_it_has_nobody_there() -> None:
    seen = {
        "shop": (box("db", "10.96.1.2"), box("odd", "172.18.0.2")),
        "bridge": (box("web", "10.50.1.2"),),
        "elsewhere": (box("alien", "172.19.0.2"),),
    }
    ranges = {**RANGES, "lab": (IPv4Network("10.97.0.0/16"),)}
    told = own_names(seen, ranges, (IPv4Network("10.50.1.0/24"),), node_id="n1", host="h1")
    assert {network: [one.name for one in each.containers] for network, each in told.items()} == {
        "shop": ["db"],
        "lab": [],
        FLAT: ["web"],
    }
    assert own_names({}, {}, (), node_id="n1", host="h1") == {}
