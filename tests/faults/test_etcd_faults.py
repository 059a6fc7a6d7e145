"""P23 to P26: what befalls an etcd of three guarded members costs running streams nothing, and daemons next to nothing.

CI tries those that differ most; `make faults` tries all, and for as long as they last in earnest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.drivers.matrix.outcome import in_full, noted
from integration.drivers.matrix.toll import table, take
from integration.drivers.matrix.verdict import wrongs
from integration.faults.catalogue import fault, of_etcd
from integration.faults.fault import Fault
from integration.hosts.guarded import GuardedLab
from tests.faults.etcd_side import SharedGuardedLab, settled
from tests.faults.secret_side import sought

pytestmark = [pytest.mark.lab, pytest.mark.etcd, pytest.mark.netns]

REPRESENTATIVE = (
    "member-partitioned",
    "quorum-lost",
    "frozen",
    "restored",
    "jwt-expired",
    "client-certificates-expired",
    "member-replaced",
)
TRIED = of_etcd() if in_full() else tuple(fault(name) for name in REPRESENTATIVE)


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedGuardedLab]:
    one = SharedGuardedLab()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def lab(shared: SharedGuardedLab) -> GuardedLab:
    """Healthy, three residents with streams to be, and a newcomer that does not run."""
    return shared.healthy()


@pytest.mark.parametrize("one", TRIED, ids=lambda one: one.name)
def test_p24_streams_lose_nothing_and_daemons_stay_calm_when_etcd_fails(lab: GuardedLab, one: Fault) -> None:
    toll = take(lab, one, in_full=in_full())
    print(table([toll]))
    assert wrongs(toll) == (), toll
    settled(lab)
    noted("etcd", one.name, gap_ms=toll.longest_gap_ms, converged_s=toll.converged_s, lost=toll.lost)


def test_p31_no_secret_is_told_anywhere_when_all_that_can_be_wrong_with_it_was_wrong(lab: GuardedLab) -> None:
    with sought(lab) as secrets:
        secrets.provoke(lab.residents[0])
        places = secrets.places()
        assert len(places) >= 20, sorted(places)
        assert secrets.found_in(secrets.controls()) == set(secrets.controls()), "the search itself is blind"
        assert secrets.found_in(places) == set()
