"""Each injected problem breaks what it says and is gone afterwards, seen with ip, ping and nft alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from integration.faults.catalogue import NOT_INJECTED, PROBLEMS, fault
from integration.faults.daemons import frozen
from integration.faults.fault import Evidence, Fault, Setting, struck
from integration.hosts.left_up import StandingLab
from integration.lab import Lab, LabError
from tests.lab.injected_side import standing
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SETTINGS = tuple(dict.fromkeys(one.setting for one in PROBLEMS))


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[Lab]:
    with standing(Setting(hosts=2)) as lab:
        yield lab


def test_every_problem_is_injected_or_has_a_reason_why_not() -> None:
    known = {one.problem for one in PROBLEMS} | NOT_INJECTED.keys()
    assert known == {f"P{number:02}" for number in range(1, 33)}
    assert not {one.problem for one in PROBLEMS} & NOT_INJECTED.keys()
    assert len({one.problem for one in PROBLEMS}) == len(PROBLEMS)


def test_unknown_problem_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match="there are P01 P02"):
        fault("P99")
    with pytest.raises(LabError, match="P24"):
        fault("P15")


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda setting: "-".join(map(str, (setting.hosts, setting.backend)))
)
def test_injections_break_what_they_say_and_are_undone_even_when_the_block_fails(setting: Setting) -> None:
    with standing(setting) as lab:
        for one in (one for one in PROBLEMS if one.setting == setting):
            for _ in range(2):  # what is left behind shows the second time
                _is_whole(one, _fail_within(one, lab))


def _is_whole(one: Fault, found: Evidence) -> None:
    eventually(lambda: not found.is_broken(), f"{one.name} is not undone")


def _fail_within(one: Fault, lab: Lab) -> Evidence:
    with contextlib.suppress(KeyError), struck(one, lab) as found:
        if not one.heals:
            eventually(found.is_broken, f"{one.name} breaks nothing")
        raise KeyError(one.name)
    return found


@pytest.mark.parametrize("one", [one for one in PROBLEMS if one.heals], ids=lambda one: one.problem)
def test_what_heals_stays_broken_as_long_as_nobody_heals_it(one: Fault, two_hosts: Lab) -> None:
    with contextlib.ExitStack() as stack, frozen(two_hosts.hosts[0]):  # which ends first
        found = stack.enter_context(struck(one, two_hosts))
        assert found.is_broken(), f"{one.name} breaks nothing"
    assert not found.is_broken()
    assert_settled(two_hosts)


def test_lab_that_was_left_up_is_injected_by_command_until_enter(two_hosts: Lab) -> None:
    lab = two_hosts
    one, two = lab.containers
    (lab.directory / "lab.json").write_text(json.dumps(lab.describe()))
    for problem in ("P06", "P16", "P31"):  # the switch, etcd, and a process of another's
        with struck(fault(problem), StandingLab(lab.number)) as found:
            eventually(found.is_broken, f"{problem} breaks nothing")
        eventually(_whole(found), f"{problem} is not undone")
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


def _whole(found: Evidence) -> Callable[[], bool]:
    return lambda: not found.is_broken()


def test_fault_that_the_network_does_not_have_is_refused_by_name(two_hosts: Lab) -> None:
    with (
        pytest.raises(LabError, match="gateway_far strikes host-gw networks, this one is vxlan"),
        struck(fault("P18"), two_hosts),
    ):
        pass


def test_programs_of_a_lab_that_was_left_up_are_killed_and_started_again_as_they_were(two_hosts: Lab) -> None:
    lab = two_hosts  # and it is the last test that has it: these programs are not the lab's own any more
    host, member = lab.hosts[0], lab.etcd.members[0]
    (lab.directory / "lab.json").write_text(json.dumps(lab.describe()))
    left_up = StandingLab(lab.number)
    with struck(fault("daemon_killed"), left_up):
        assert not host.daemon.running
        eventually(lambda: not host.daemon.answers("/healthz"), "nobody answers")
    eventually(lambda: host.daemon.answers("/readyz"), "the daemon is back", deadline=20)
    with struck(fault("all_killed"), left_up) as found:
        assert found.is_broken()
        assert not member.running
    assert left_up.etcd.api.revision() > 1
    eventually(lambda: host.daemon.answers("/readyz"), "the daemon has etcd again", deadline=20)
