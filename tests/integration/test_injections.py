"""Each injected problem breaks what it says and is gone afterwards, seen with ip, ping and nft alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from integration.faults.filters import frozen
from integration.faults.problems import (
    INJECTIONS,
    NOT_INJECTED,
    Course,
    Ground,
    Injection,
    Struck,
    injection,
)
from integration.hosts.left_up import StandingLab
from integration.lab import Lab, LabError
from tests.lab.injected_side import standing
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

GROUNDS = tuple(dict.fromkeys(one.ground for one in INJECTIONS))


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[Lab]:
    with standing(Ground(hosts=2)) as lab:
        yield lab


def test_every_problem_is_injected_or_has_a_reason_why_not() -> None:
    known = {one.id for one in INJECTIONS} | NOT_INJECTED.keys()
    assert known == {f"P{number:02}" for number in range(1, 33)}
    assert not {one.id for one in INJECTIONS} & NOT_INJECTED.keys()
    assert len({one.id for one in INJECTIONS}) == len(INJECTIONS)


def test_unknown_problem_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match="there are P01 P02"):
        injection("P99")
    with pytest.raises(LabError, match="P24"):
        injection("P15")


@pytest.mark.parametrize(
    "ground", GROUNDS, ids=lambda ground: "-".join(map(str, (ground.hosts, ground.backend)))
)
def test_injections_break_what_they_say_and_are_undone_even_when_the_block_fails(ground: Ground) -> None:
    with standing(ground) as lab:
        for one in (one for one in INJECTIONS if one.ground == ground):
            for _ in range(2):  # what is left behind shows the second time
                struck = _fail_within(one, lab)
                _is_whole(one, struck)


def _is_whole(one: Injection, struck: Struck) -> None:
    eventually(lambda: not struck.is_broken(), f"{one.id} is not undone")


def _fail_within(one: Injection, lab: Lab) -> Struck:
    with contextlib.suppress(KeyError), one.strike(lab) as struck:
        if one.course is Course.LASTS:
            eventually(struck.is_broken, f"{one.id} breaks nothing")
        raise KeyError(one.id)
    return struck


@pytest.mark.parametrize(
    "one", [one for one in INJECTIONS if one.course is Course.HEALS], ids=lambda one: one.id
)
def test_what_heals_stays_broken_as_long_as_nobody_heals_it(one: Injection, two_hosts: Lab) -> None:
    with contextlib.ExitStack() as stack, frozen(two_hosts.hosts[0]):  # which ends first
        struck = stack.enter_context(one.strike(two_hosts))
        assert struck.is_broken(), f"{one.id} breaks nothing"
    assert not struck.is_broken()
    assert_settled(two_hosts)


def test_lab_that_was_left_up_is_injected_by_command_until_enter(two_hosts: Lab) -> None:
    lab = two_hosts
    one, two = lab.containers
    (lab.directory / "lab.json").write_text(json.dumps(lab.describe()))
    for problem in ("P06", "P16", "P31"):  # the switch, etcd, and a process of another's
        with injection(problem).strike(StandingLab(lab.number)) as struck:
            eventually(struck.is_broken, f"{problem} breaks nothing")
        eventually(_whole(struck), f"{problem} is not undone")
    typed = subprocess.Popen(
        [sys.executable, "-m", "integration", "inject", "p06", "--lab", str(lab.number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert typed.stdout is not None
        said = [typed.stdout.readline() for _ in range(3)]
        assert "FlanpyPeersUnreachable" in said[0]
        assert not one.ping(two, wait=0.5).ok
    finally:
        typed.communicate("\n", timeout=60)
    assert typed.returncode == 0
    assert one.ping(two).ok


def _whole(struck: Struck) -> Callable[[], bool]:
    return lambda: not struck.is_broken()
