"""Peers whose lease was deleted a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flanpy.model.lease import LeaseView
from flanpy.store.lease_view import fold
from flanpy.store.linger import AFTER_OUTAGE, ANSWERING, LINGER, Lingering
from flanpy.store.port import Deletion, Delta, KeyValue, Progress, Snapshot, Stale
from flanpy.store.schema import encode_record
from tests.store.own.lease_hosts import record

PREFIX = "/net/subnets/"


def kv(key: str, revision: int, value: bytes = encode_record(record(1, "node-1"))) -> KeyValue:
    return KeyValue(PREFIX + key, value, revision, revision, 1, 5)


def key(number: int, length: int = 24) -> str:
    return f"10.50.{number}.0-{length}"


class Watched:
    """The view and who lingers, as news comes."""

    def __init__(self, *keys: str) -> None:
        self.view = fold(LeaseView(), Snapshot(tuple(kv(each, 3) for each in keys), 10), PREFIX)
        self.lingering = Lingering()
        self.alive: set[str] = set()

    def news(self, *, puts: Sequence[KeyValue] = (), gone: Sequence[str] = (), now: float = 0.0) -> None:
        revision = self.view.revision + 1
        deletes = tuple(Deletion(PREFIX + each, revision) for each in gone)
        self.follow(fold(self.view, Delta(tuple(puts), deletes, revision), PREFIX), now)

    def follow(self, view: LeaseView, now: float = 0.0) -> None:
        self.lingering = self.lingering.after(
            self.view, view, now, answers=lambda lease: str(lease.key) in self.alive
        )
        self.view = view

    @property
    def shown(self) -> set[str]:
        return set(self.lingering.shown(self.view).leases)


def test_p25_deleted_lease_lingers_and_is_let_go_in_time() -> None:
    watched = Watched(key(1), key(2))
    watched.news(gone=[key(1)])
    assert key(1) not in watched.view.leases
    assert watched.shown == {key(1), key(2)}
    assert watched.lingering.pause(LINGER / 2) == LINGER / 2
    watched.follow(watched.view, LINGER / 2)
    assert watched.shown == {key(1), key(2)}
    watched.follow(watched.view, LINGER)
    assert watched.shown == {key(2)}
    assert watched.lingering.pause(LINGER) is None
    assert watched.lingering.shown(watched.view) is watched.view


def test_p25_lease_written_anew_is_shown_as_it_is_now() -> None:
    watched = Watched(key(1))
    watched.news(gone=[key(1)])
    watched.news(puts=[kv(key(1), 12, encode_record(record(7, "node-7")))])
    assert watched.lingering == Lingering()
    assert watched.lingering.shown(watched.view).leases[key(1)].record.node_id == "node-7"


def test_nobody_lingers_in_the_way_of_another_lease() -> None:
    watched = Watched(key(1), key(2))
    watched.news(gone=[key(1), key(2)])
    watched.news(puts=[kv(key(1, 25), 12)])
    assert watched.shown == {key(2), key(1, 25)}
    watched.news(puts=[kv(key(0, 16), 13)])
    assert watched.shown == {key(1, 25), key(0, 16)}


def test_garbage_over_a_key_is_no_deletion_and_ends_lingering() -> None:
    watched = Watched(key(1), key(2))
    watched.news(puts=[kv(key(1), 11, b"{{{")])
    assert watched.shown == {key(2)}
    watched.news(gone=[key(2)])
    watched.news(puts=[kv(key(2), 13, b"{{{")])
    assert watched.shown == set()


def test_lease_that_a_listing_lacks_does_not_linger() -> None:
    watched = Watched(key(1))
    watched.follow(fold(watched.view, Snapshot((), 20), PREFIX))
    assert watched.shown == set()


def test_lingering_goes_on_while_the_watch_is_lost() -> None:
    watched = Watched(key(1))
    watched.news(gone=[key(1)])
    watched.follow(fold(watched.view, Stale("no etcd"), PREFIX), LINGER / 2)
    assert watched.shown == {key(1)}
    watched.follow(watched.view, LINGER)
    assert watched.shown == set()


def test_each_lease_lingers_from_its_own_deletion_on() -> None:
    watched = Watched(key(1), key(2))
    watched.news(gone=[key(1)], now=0.0)
    watched.news(gone=[key(2)], now=0.3)
    assert watched.lingering.pause(0.3) == LINGER - 0.3
    watched.follow(watched.view, LINGER)
    assert watched.shown == {key(2)}


def test_thousands_that_go_while_thousands_come_do_not_linger() -> None:
    keys = [f"10.{50 + n // 250}.{n % 250}.0-24" for n in range(500)]
    others = [f"10.{60 + n // 250}.{n % 250}.0-24" for n in range(500)]
    watched = Watched(*keys)
    watched.news(puts=[kv(each, 11) for each in others], gone=keys)
    assert watched.shown == set(others)


def _back_from_outage(watched: Watched, now: float) -> None:
    watched.follow(fold(watched.view, Stale("gone"), PREFIX), now - 60)
    watched.follow(fold(watched.view, Progress(watched.view.revision), PREFIX), now)


def test_p24_lease_that_ends_right_after_an_outage_lingers_until_its_host_has_had_time_to_connect() -> None:
    watched = Watched(key(1), key(2))
    _back_from_outage(watched, 100.0)
    watched.news(gone=[key(1)], now=101.0)
    watched.follow(watched.view, 100.0 + AFTER_OUTAGE - 0.1)
    assert watched.shown == {key(1), key(2)}
    watched.follow(watched.view, 100.0 + AFTER_OUTAGE)
    assert watched.shown == {key(2)}


def test_p24_lease_that_ends_with_the_news_of_an_outages_end_lingers_as_long() -> None:
    watched = Watched(key(1), key(2))
    watched.follow(fold(watched.view, Stale("gone"), PREFIX), 40.0)
    watched.news(gone=[key(1)], now=100.0)
    watched.follow(watched.view, 100.0 + AFTER_OUTAGE - 0.1)
    assert watched.shown == {key(1), key(2)}


def test_lease_made_since_the_outage_lingers_no_longer_than_any_other() -> None:
    watched = Watched(key(1))
    _back_from_outage(watched, 100.0)
    watched.news(puts=[kv(key(3), watched.view.revision + 1)], now=101.0)
    watched.news(gone=[key(3)], now=102.0)
    watched.follow(watched.view, 102.0 + LINGER)
    assert watched.shown == {key(1)}


def test_lease_that_ends_long_after_an_outage_lingers_no_longer_than_any_other() -> None:
    watched = Watched(key(1), key(2))
    _back_from_outage(watched, 100.0)
    now = 100.0 + AFTER_OUTAGE
    watched.news(gone=[key(1)], now=now)
    watched.follow(watched.view, now + LINGER)
    assert watched.shown == {key(2)}


def test_p24_lease_that_the_first_listing_after_an_outage_lacks_lingers_as_one_that_was_deleted() -> None:
    watched = Watched(key(1), key(2))
    watched.follow(fold(watched.view, Stale("gone"), PREFIX), 40.0)
    watched.follow(fold(watched.view, Snapshot((kv(key(2), 3),), 20, "compacted"), PREFIX), 100.0)
    watched.follow(watched.view, 100.0 + AFTER_OUTAGE - 0.1)
    assert watched.shown == {key(1), key(2)}
    watched.follow(watched.view, 100.0 + AFTER_OUTAGE)
    assert watched.shown == {key(2)}


def test_p25_lease_that_another_history_lacks_is_left_to_the_brake() -> None:
    watched = Watched(key(1), key(2))
    watched.follow(fold(watched.view, Stale("gone"), PREFIX), 40.0)
    watched.follow(fold(watched.view, Snapshot((kv(key(2), 3),), 4, "history_replaced"), PREFIX), 100.0)
    assert watched.shown == {key(2)}


def test_host_that_answers_probes_lingers_longer_unless_it_said_that_it_leaves() -> None:
    watched = Watched()
    leaving = encode_record(replace(record(3, "node-3"), leaving=True))
    watched.news(puts=[kv(key(1), 11), kv(key(2), 12), kv(key(3), 13, leaving)])
    watched.alive = {key(1), key(3)}
    watched.news(gone=[key(1), key(2), key(3)])
    assert watched.shown == {key(1), key(2), key(3)}
    watched.follow(watched.view, LINGER)
    assert watched.shown == {key(1)}
    watched.follow(watched.view, ANSWERING - 0.1)
    assert watched.shown == {key(1)}, "bounded, and not prolonged by news"
    watched.follow(watched.view, ANSWERING)
    assert watched.shown == set()


def test_host_that_answers_probes_yields_to_a_new_lease_at_once() -> None:
    watched = Watched(key(1))
    watched.alive = {key(1)}
    watched.news(gone=[key(1)])
    watched.news(puts=[kv(key(1, 25), 12)], now=1.0)
    assert watched.shown == {key(1, 25)}
