"""The two verdicts: the cause first, what follows folded, and nothing well that could not be measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.status.judge.causes import DEPENDS_ON, in_order
from flanpy.status.judge.conditions import NEEDED_TO_BE_READY, Phase, is_ready
from flanpy.status.judge.summary import VerdictState, of_cluster, of_host

C = ConditionType


def _conditions(*bad: ConditionType) -> tuple[Condition, ...]:
    return in_order(
        Condition(
            kind,
            Status.TRUE if kind not in bad else Status.FALSE,
            "Reason",
            f"{kind.value} is told",
            healthy=kind not in bad,
            cure=f"mend {kind.value}",
            depends_on=DEPENDS_ON.get(kind, ()),
        )
        for kind in C
    )


def _judged(*bad: ConditionType) -> Any:
    conditions = _conditions(*bad)
    ready = is_ready(conditions)
    phase = Phase.READY if not bad else Phase.DEGRADED
    return of_host("web-1", phase, conditions, ready=ready)


@pytest.mark.parametrize(
    ("bad", "state", "cause", "follows"),
    [
        ((), VerdictState.WELL, "", ()),
        ((C.PEERS_REACHABLE,), VerdictState.IMPAIRED, "PeersReachable", ()),
        (
            (C.DATASTORE_REACHABLE, C.UNDERLAY_READY, C.BACKEND_READY, C.PEERS_REACHABLE),
            VerdictState.DOWN,
            "UnderlayReady",
            ("DatastoreReachable", "BackendReady", "PeersReachable"),
        ),
        ((C.RESTART_NEEDED, C.PEERS_REACHABLE), VerdictState.IMPAIRED, "PeersReachable", ()),
        ((C.DATASTORE_REACHABLE, C.SUBNET_FILE_WRITTEN), VerdictState.DOWN, "SubnetFileWritten", ()),
    ],
    ids=str,
)
def test_host_is_judged_by_the_cause_that_costs_most(
    bad: tuple[ConditionType, ...], state: VerdictState, cause: str, follows: tuple[str, ...]
) -> None:
    found = _judged(*bad)
    assert (found.state, found.cause) == (state, cause)
    assert found.follows == follows
    assert found.text.startswith("web-1 ")
    assert found.cure == (f"mend {cause}" if cause else "")


@given(st.frozensets(st.sampled_from(ConditionType)))
def test_host_is_well_only_if_every_condition_is(bad: frozenset[ConditionType]) -> None:
    found = _judged(*bad)
    assert (found.state is VerdictState.WELL) == (not bad)
    assert (found.state is VerdictState.DOWN) == (not bad.isdisjoint(NEEDED_TO_BE_READY))
    assert not bad or f"{found.cause} is told" in found.text
    assert found.cause not in found.follows


@pytest.mark.parametrize("phase", [Phase.DRAINED, Phase.STOPPING])
def test_host_that_takes_no_part_is_not_well(phase: Phase) -> None:
    assert of_host("web-1", phase, _conditions(), ready=True).state is VerdictState.DOWN


def _mesh(*hosts: str, **told: str) -> dict[str, Any]:
    """`a_b="reachable"` is what a told of b; the ids of hosts are not their names."""
    rows = []
    for pair, reach in told.items():
        one, other = pair.split("_")
        trouble = "PortBlocked" if reach == "unreachable" else ""
        rows.append({"from": f"id-{one}", "to": f"id-{other}", "reach": reach, "trouble": trouble})
    return {"nodes": [{"node_id": f"id-{host}", "host": host, "subnet": ""} for host in hosts], "rows": rows}


WELL = {"a_b": "reachable", "b_a": "reachable"}


@pytest.mark.parametrize(
    ("mesh", "state", "text"),
    [
        (None, VerdictState.UNKNOWN, "the other hosts were not asked yet"),
        (_mesh("a"), VerdictState.WELL, "no other host has a subnet yet"),
        (_mesh("a", "b", **WELL), VerdictState.WELL, "2 hosts, 2 of 2 directions work"),
        (
            _mesh("a", "b", a_b="unreachable", b_a="unreachable"),
            VerdictState.IMPAIRED,
            "1 of 1 link broken: a <-> b: PortBlocked",
        ),
        (
            _mesh("a", "b", "c", **WELL, b_c="unreachable"),
            VerdictState.IMPAIRED,
            "1 of 3 links broken: b -> c: PortBlocked",
        ),
        (
            _mesh("a", "b", "c", **WELL),
            VerdictState.UNKNOWN,
            "3 hosts, 2 of 6 directions work, the others are not known; c told nothing",
        ),
        (
            _mesh("a", "b"),
            VerdictState.UNKNOWN,
            "2 hosts, 0 of 2 directions work, the others are not known; a, b told nothing",
        ),
    ],
    ids=lambda value: value.value if isinstance(value, VerdictState) else "",
)
def test_cluster_is_judged_by_what_all_told(
    mesh: dict[str, Any] | None, state: VerdictState, text: str
) -> None:
    found = of_cluster(mesh)
    assert (found.state, found.text) == (state, text)


def test_cluster_is_not_well_while_a_host_told_nothing_though_all_told_is_well() -> None:
    mesh = _mesh("a", "b", "c", **WELL, a_c="reachable", b_c="reachable")
    assert of_cluster(mesh).state is VerdictState.UNKNOWN
    rows = [*mesh["rows"], {**mesh["rows"][0], "from": "id-x"}]
    assert of_cluster({**mesh, "rows": rows}) == of_cluster(mesh), (
        "a row of a host that is gone counts for nothing"
    )
    assert replace(of_cluster(mesh), text="").as_json()["state"] == "unknown"
