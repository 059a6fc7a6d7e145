"""Each check in a host that has the problem and in one that has not; and that no document makes doctor fall over."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.doctor.facts import EndpointSeen
from flanpy.doctor.finding import Severity
from flanpy.doctor.packets import is_for_idle_bridge, packets
from flanpy.doctor.registry import CHECKS, checked, diagnose
from flanpy.model.condition import ConditionType
from flanpy.trace.filter import Effect, Hook, Met, TracedRule
from flanpy.trace.seen import Direction, RouteAnswer
from tests.doctor import worlds
from tests.doctor.worlds import PROBLEMS, Change, bad, in_shop, reached, repaired, well


def test_doctor_finds_nothing_on_a_well_host() -> None:
    assert diagnose(well()) == ()


def test_doctor_finds_nothing_on_a_well_named_network() -> None:
    assert diagnose(in_shop()(well())) == ()


def test_a_bridge_that_no_container_is_attached_to_is_not_sent_to() -> None:
    facts = well()
    assert facts.devices is not None
    *_, (source, destination) = packets(facts)
    assert destination in facts.own[0]
    idle = replace(facts.devices["docker0"], carrier=False)
    enters = replace(
        worlds.SEEN,
        source=source,
        destination=destination,
        direction=Direction.IN,
        inner=RouteAnswer("docker0"),
        devices={**facts.devices, "docker0": idle},
    )
    assert is_for_idle_bridge(enters)
    assert not is_for_idle_bridge(replace(enters, devices=facts.devices))
    assert not is_for_idle_bridge(replace(enters, direction=Direction.OUT))
    down = {**facts.devices, "docker0": replace(idle, up=False)}
    assert not is_for_idle_bridge(replace(enters, devices=down)), "a device that is down is a fault"


@pytest.mark.parametrize(
    ("problem", "what", "change"), PROBLEMS, ids=[f"{p}: {what}" for p, what, _ in PROBLEMS]
)
def test_doctor_names_the_problem(problem: str, what: str, change: Change) -> None:
    found = diagnose(change(well()))
    assert found[0].id == problem, what
    assert found[0].evidence
    assert found[0].cure


@pytest.mark.parametrize(
    ("problem", "what", "change"), PROBLEMS, ids=[f"{p}: {what}" for p, what, _ in PROBLEMS]
)
def test_doctor_names_the_problem_in_any_company(problem: str, what: str, change: Change) -> None:
    for company, facts in worlds.expanded(change):
        assert problem in [finding.id for finding in diagnose(facts)], (what, company)


@pytest.mark.parametrize("trouble", ["NoUnderlay", "PeerDown"])
def test_packet_that_ends_beneath_the_overlay_is_told_once(trouble: str) -> None:
    ends = worlds.packet(outer=RouteAnswer("", problem="Network is unreachable"))
    assert [finding.id for finding in diagnose(ends(well()))] == ["P21"]
    peer = reached("unreachable", trouble)
    assert len(diagnose(ends(peer(well())))) == len(diagnose(peer(well()))) == 1


def test_every_problem_that_is_checked_has_a_world() -> None:
    assert {problem for problem, _, _ in PROBLEMS} == set(checked())
    assert {f"P{number:02}" for number in range(1, 33)} - set(checked()) == {"P17"}


@pytest.mark.parametrize("kind", ConditionType)
def test_every_bad_condition_is_found(kind: ConditionType) -> None:
    assert kind.value in {finding.condition for finding in diagnose(bad(kind)(well()))}


def test_what_is_not_judged_yet_is_told_only_while_nothing_explains_it() -> None:
    waiting = {"type": "LeaseValid", "status": "Unknown", "reason": "NotRead", "healthy": False}
    starting = worlds.answer("status", lambda status: status["conditions"].append(waiting))
    assert [finding.condition for finding in diagnose(starting(well()))] == ["LeaseValid"]
    explained = bad(ConditionType.UNDERLAY_READY)(starting(well()))
    assert [finding.condition for finding in diagnose(explained)] == ["UnderlayReady"]


@pytest.mark.parametrize(
    ("cause", "consequence"),
    [
        (bad(ConditionType.FORWARDING_ENABLED), reached("unreachable", "Unexplained")),
        (
            worlds.rule("filter", "FORWARD", Hook.FORWARD, drops=True),
            reached("unreachable", "Unexplained"),
        ),
        (worlds._etcd(problem="refused"), bad(ConditionType.LEASE_VALID)),
        (bad(ConditionType.UNDERLAY_READY), bad(ConditionType.BACKEND_READY)),
        (reached("unreachable", "PortBlocked"), worlds._etcd(skew=60.0)),
    ],
)
def test_the_cause_comes_first_whatever_follows_from_it(cause: Change, consequence: Change) -> None:
    alone = diagnose(cause(well()))[0]
    assert diagnose(consequence(cause(well())))[0].id == alone.id
    assert diagnose(cause(consequence(well())))[0].id == alone.id


def test_a_device_that_vanished_is_told_and_not_what_went_with_it() -> None:
    facts = repaired("link")(well())
    for what in ("route", "fdb", "feature"):
        facts = repaired(what)(facts)
    assert [finding.id for finding in diagnose(facts)] == ["P11"]


def test_the_newest_repair_comes_first_and_one_that_repeats_is_a_warning() -> None:
    facts = repaired("route", ago=8.0)(well())
    facts = repaired("filter", count=6, ago=400.0)(facts)
    assert [(f.id, f.severity) for f in diagnose(facts)] == [("P13", Severity.NOTE), ("P03", Severity.NOTE)]
    often = repaired("filter", times=7, ago=400.0)(facts)
    assert (diagnose(often)[0].id, diagnose(often)[0].severity) == ("P03", Severity.WARNING)


def test_repairs_of_long_ago_are_not_told() -> None:
    assert diagnose(repaired("route", ago=901.0)(well())) == ()


def test_a_foreign_masquerade_is_removed_by_its_own_words_and_never_ours_or_dockers() -> None:
    text = '-s 10.0.0.0/8 -m comment --comment "all of us" -j MASQUERADE'
    found = worlds.rule(
        "nat",
        "POSTROUTING",
        Hook.POSTROUTING,
        TracedRule(text, Effect.REWRITE_SOURCE, packets=4),
    )
    repair = diagnose(found(well()))[0].repair
    assert repair is not None
    assert repair.removes
    assert str(repair) == (
        "iptables-nft -t nat -D POSTROUTING -s 10.0.0.0/8 -m comment --comment 'all of us' -j MASQUERADE"
    )
    ours = worlds.rule(
        "nat", "FLANPY-X", Hook.POSTROUTING, TracedRule("-j MASQUERADE", Effect.REWRITE_SOURCE)
    )
    assert diagnose(ours(well()))[0].repair is None


def test_rule_in_our_table_of_nftables_is_ours_and_a_chain_named_like_a_text_is_not_dockers() -> None:
    ours = Met(Effect.REWRITE_SOURCE, "nft", "flanpy", "postrouting", "masquerade")
    assert ours.is_ours
    assert not replace(ours, tool="iptables-nft").is_ours
    assert not Met(Effect.DROP, "nft", "filter", "forward", 'drop comment "docker"').is_dockers


@pytest.mark.parametrize("told", ["../../../kernel/core_pattern=|/tmp/x ", "..", "gone0", "a b", ""])
def test_no_sysctl_is_written_for_a_link_that_only_the_daemon_knows(told: str) -> None:
    """`doctor --fix` writes as root: a name that the daemon's user chose led to any setting, with any value."""
    facts = bad(ConditionType.HOST_TUNED, "StrictReversePath")(well())
    link = next(iter(facts.devices or {}))
    for strict, wanted in (
        ([told], None),
        ([told, link], ("sysctl", "-w", f"net.ipv4.conf.{link}.rp_filter=2")),
    ):
        status = {**facts.answers["status"], "tuning": {"reverse_path": {"strict": strict}}}
        (found,) = diagnose(replace(facts, answers={**facts.answers, "status": status}))
        assert found.id == "P05"
        assert (found.repair and found.repair.argv) == (
            wanted and (*wanted[:2], wanted[2].replace("flannel.1", "flannel/1"))
        )


def test_without_a_daemon_kernel_and_etcd_are_checked_all_the_same() -> None:
    alone = replace(
        well(),
        answers={},
        daemon_problem="no flanpyd listens",
        traced=(),
        sysctls={"net.ipv4.ip_forward": "0", "net.ipv4.conf.flannel/1.rp_filter": "1"},
        endpoints=(EndpointSeen(url="http://192.0.2.1:2379", problem="refused"),),
    )
    assert [finding.id for finding in diagnose(alone)] == ["P31", "P24", "P04", "P05"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["10.50.1.0/24"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=8,
)


def _mangle(value: object, chance: random.Random, pool: list[object]) -> object:
    if chance.random() < 0.08:
        return chance.choice(pool)
    match value:
        case dict():
            return {key: _mangle(one, chance, pool) for key, one in value.items()}
        case list():
            return [_mangle(one, chance, pool) for one in value]
        case _:
            return value


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), pool=st.lists(JSON, min_size=1, max_size=4))
def test_no_document_of_the_daemon_makes_doctor_fall_over(seed: int, pool: list[object]) -> None:
    """A host with a problem, in whose documents values are replaced by anything."""
    chance = random.Random(seed)
    facts = chance.choice(PROBLEMS)[2](well())
    facts = replace(facts, answers={name: _mangle(one, chance, pool) for name, one in facts.answers.items()})
    for finding in diagnose(facts):
        assert finding.as_json()["id"] in {check.id for check in CHECKS}
    assert len(list(packets(facts))) <= 8


@settings(max_examples=60, deadline=None)
@given(
    answers=st.dictionaries(st.sampled_from(["status", "subnets", "peers", "diff", "events", "config"]), JSON)
)
def test_nor_do_documents_of_no_shape_at_all(answers: dict[str, object]) -> None:
    diagnose(replace(well(), answers=answers))
