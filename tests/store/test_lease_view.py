"""The lease view as a fold of etcd's news."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.model.lease import LeaseView
from flanpy.store.lease_view import MOST_DELETIONS, fold
from flanpy.store.port import Deletion, Delta, KeyValue, Progress, Snapshot, Stale
from flanpy.store.schema import encode_record
from tests.store.own.lease_hosts import record

PREFIX = "/net/subnets/"


def kv(number: int, revision: int, *, lease_id: int = 5, value: bytes | None = None) -> KeyValue:
    good = encode_record(record(number, f"node-{number}"))
    return KeyValue(
        f"{PREFIX}10.50.{number}.0-24", good if value is None else value, revision, revision, 1, lease_id
    )


def listed(*items: KeyValue, revision: int = 10, view: LeaseView | None = None) -> LeaseView:
    return fold(view or LeaseView(), Snapshot(items, revision), PREFIX)


def changed(
    view: LeaseView, puts: Sequence[KeyValue] = (), deletes: Sequence[int] = (), revision: int = 11
) -> LeaseView:
    gone = tuple(Deletion(f"{PREFIX}10.50.{number}.0-24", revision) for number in deletes)
    return fold(view, Delta(tuple(puts), gone, revision), PREFIX)


def test_view_is_in_sync_from_the_first_listing_on() -> None:
    view = LeaseView()
    assert not view.in_sync
    view = listed(kv(1, 3))
    assert (view.in_sync, view.stale, view.revision, view.listings) == (True, False, 10, 1)
    assert list(view.leases) == ["10.50.1.0-24"]


def test_p15_view_keeps_everything_and_is_stale_when_the_watch_is_lost() -> None:
    view = listed(kv(1, 3))
    lost = fold(view, Stale("no etcd"), PREFIX)
    assert lost.stale
    assert lost.in_sync
    assert lost.leases is view.leases
    assert not fold(lost, Progress(12), PREFIX).stale


def test_view_stays_stale_when_there_is_progress_before_any_listing() -> None:
    assert fold(LeaseView(), Progress(12), PREFIX).stale


def test_view_keeps_lease_objects_and_mapping_when_a_listing_says_the_same() -> None:
    view = listed(kv(1, 3), kv(2, 4, lease_id=0), kv(3, 5, value=b"?"))
    again = listed(kv(1, 3), kv(2, 4, lease_id=0), kv(3, 5, value=b"?"), view=view, revision=20)
    assert again.leases is view.leases
    assert again.invalid is view.invalid
    assert (again.listings, again.revision) == (2, 20)


def test_view_keeps_the_objects_of_other_leases_when_one_changes() -> None:
    view = listed(kv(1, 3), kv(2, 4))
    after = changed(view, [kv(2, 11)])
    assert after.leases["10.50.1.0-24"] is view.leases["10.50.1.0-24"]
    assert after.leases["10.50.2.0-24"].mod_revision == 11


def test_p16_deletion_is_noted_only_when_the_watch_said_so() -> None:
    view = listed(kv(1, 3), kv(2, 4), kv(3, 5))
    view = changed(view, deletes=[1])
    assert dict(view.deletions) == {"10.50.1.0-24": 11}
    view = listed(kv(3, 5), view=view, revision=12)
    assert list(view.leases) == ["10.50.3.0-24"]
    assert dict(view.deletions) == {"10.50.1.0-24": 11}
    assert dict(changed(view, [kv(1, 13)]).deletions) == {}


def test_p16_garbage_value_makes_one_lease_absent_and_named_and_touches_no_other() -> None:
    view = changed(listed(kv(1, 3), kv(2, 4)), [kv(2, 11, value=b"\xff{")])
    assert list(view.leases) == ["10.50.1.0-24"]
    assert [(bad.key, bad.mod_revision) for bad in view.invalid] == [("10.50.2.0-24", 11)]
    view = changed(view, [kv(2, 12)], revision=12)
    assert len(view.leases) == 2
    assert view.invalid == ()


def test_view_reads_values_anew_when_etcd_lost_its_data_and_revisions_came_again() -> None:
    view = listed(kv(1, 3, lease_id=0))
    other = encode_record(record(9, "another"))
    assert (
        listed(kv(1, 3, lease_id=0, value=other), view=view).leases["10.50.1.0-24"].record.node_id
        == "another"
    )


_change = st.tuples(st.booleans(), st.integers(1, 4), st.sampled_from([0, 5, 6]), st.booleans())


@settings(deadline=None)
@given(st.lists(_change, max_size=20))
def test_view_is_the_same_by_deltas_as_by_a_listing(changes: list[tuple[bool, int, int, bool]]) -> None:
    held: dict[str, KeyValue] = {}
    view = listed(revision=1)
    for revision, (is_put, number, lease_id, good) in enumerate(changes, start=2):
        item = kv(number, revision, lease_id=lease_id, value=None if good else b"?")
        if is_put:
            held[item.key] = item
            view = changed(view, [item], revision=revision)
        elif held.pop(item.key, None) is not None:
            view = changed(view, deletes=[number], revision=revision)
    fresh = listed(*held.values(), revision=view.revision)
    assert dict(view.leases) == dict(fresh.leases)
    assert view.invalid == fresh.invalid
    assert not view.deletions.keys() & view.leases.keys()


def test_p25_view_doubts_a_listing_that_went_back_in_revisions_and_believes_the_next() -> None:
    view = listed(kv(1, 3), revision=10)
    assert not view.doubtful
    back = listed(kv(1, 2), revision=4, view=view)
    assert back.doubtful
    assert changed(back, [kv(2, 11)]).doubtful
    assert not listed(kv(1, 2), revision=5, view=back).doubtful


def test_p25_view_doubts_a_listing_made_because_history_was_replaced() -> None:
    view = listed(kv(1, 3), revision=10)
    assert fold(view, Snapshot((), 12, "history_replaced"), PREFIX).doubtful
    assert fold(view, Snapshot((), 12, "cluster_changed"), PREFIX).doubtful
    assert not fold(view, Snapshot((), 12, "compacted"), PREFIX).doubtful
    assert not fold(LeaseView(), Snapshot((), 12, "history_replaced"), PREFIX).doubtful


def _gone(view: LeaseView, names: Sequence[int], revision: int) -> LeaseView:
    """Deleted in one delta, each name in a revision of its own."""
    gone = tuple(Deletion(f"{PREFIX}junk-{name}", revision + at) for at, name in enumerate(names))
    return fold(view, Delta((), gone, revision + len(names)), PREFIX)


def test_view_remembers_a_bounded_number_of_deletions_however_many_names_there_were() -> None:
    view = listed(kv(1, 3))
    for start in range(0, 10 * MOST_DELETIONS, 64):
        view = _gone(view, range(start, start + 64), 100 + start)
        assert len(view.deletions) <= MOST_DELETIONS
    assert f"junk-{10 * MOST_DELETIONS - 1}" in view.deletions, "the latest are known"
    assert len(view.deletions) >= MOST_DELETIONS // 2


def test_view_shows_every_deletion_of_the_news_and_forgets_earlier_revisions_whole() -> None:
    half = MOST_DELETIONS // 2
    one = tuple(Deletion(f"{PREFIX}together-{name}", 20) for name in range(half))
    view = fold(_gone(listed(kv(1, 3)), range(half), 11), Delta((), one, 20 + half), PREFIX)
    assert sum(at == 20 for at in view.deletions.values()) == half + 1
    view = _gone(view, [10_000], 10_000)
    assert 20 not in view.deletions.values(), "a part of a revision would pass for few deletions"
    crowd = _gone(view, range(20_000, 20_000 + 2 * MOST_DELETIONS), 90_000)
    assert len(crowd.deletions) == 2 * MOST_DELETIONS
    assert len(_gone(crowd, [1], 200_000).deletions) == half
    assert len(changed(crowd, [kv(2, 200_000)], revision=200_000).deletions) == half


def test_deletion_outlives_one_listing_and_is_forgotten_at_the_next() -> None:
    view = changed(listed(kv(1, 3), kv(2, 4), revision=10), deletes=[1])
    once = listed(kv(2, 4), revision=12, view=view)
    assert dict(once.deletions) == {"10.50.1.0-24": 11}
    assert dict(listed(kv(2, 4), revision=13, view=once).deletions) == {}


def test_deletions_of_a_history_that_was_replaced_are_forgotten() -> None:
    view = changed(listed(kv(1, 3), kv(2, 4), revision=10), deletes=[1])
    assert dict(listed(kv(2, 4), revision=5, view=view).deletions) == {}
