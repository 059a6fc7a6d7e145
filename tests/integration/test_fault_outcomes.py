"""The closing figures of the faults: what was tried and not survived is counted, named, and fails the run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from integration.drivers.matrix import tested
from integration.drivers.matrix.command import ALONE, FAMILIES
from integration.drivers.matrix.outcome import REPORT_VARIABLE, Outcome, exit_status, keep, noted, read, table
from integration.drivers.matrix.toll import Toll
from integration.drivers.matrix.verdict import MOST_LOG_LINES, SECONDS_TO_CONVERGE, outcome_of, wrongs

SURVIVED = (
    Outcome("etcd", "frozen", gap_ms=31.0, converged_s=2.0, lost=0),
    Outcome("etcd", "slow", gap_ms=12.0, converged_s=9.0, lost=0),
    Outcome("kernel", "vxlan: device deleted", gap_ms=140.0, converged_s=0.5),
    Outcome("kernel", "vxlan: device deleted", gap_ms=90.0, converged_s=0.3),
    Outcome("host", "OOM kill"),
)
NOT_SURVIVED = Outcome("host", "disk full", wrong="call: AssertionError: lease gone\nand more")
CALM = Toll(
    fault="frozen", seconds=60.0, sent=30_000, lost=0, longest_gap_ms=31.0, tcp_whole=True, tcp_gap_ms=40.0, cpu_s=0.4,
    cpu_percent=0.7, log_lines=4, seen_s=None, converged_s=2.0, looks=12, overlaps=(), moved=(),
)  # fmt: skip


def cells(text: str, first: str) -> list[str]:
    """The cells of the line that begins with `first`."""
    line = next(line for line in text.splitlines() if line.startswith(first))
    return re.split(r" {2,}", line)


def test_table_has_tried_survived_worst_gap_and_times_by_family() -> None:
    text = table(SURVIVED)
    assert cells(text, "etcd") == ["etcd", "2", "2", "31", "frozen", "5.50", "9.00", "slow"]
    assert cells(text, "host") == ["host", "1", "1", "-", "-", "-", "-", "-"]
    assert cells(text, "all")[:4] == ["all", "5", "5", "140"]
    assert "not survived" not in text
    assert exit_status(SURVIVED) == 0


def test_table_names_each_fault_once_with_its_longest_gap() -> None:
    gaps = table(SURVIVED).split("\n\n")[1].splitlines()[1:]
    assert [re.split(r" {2,}", line) for line in gaps] == [
        ["140", "-", "kernel: vxlan: device deleted"],
        ["31", "0", "etcd: frozen"],
        ["12", "0", "etcd: slow"],
    ]


def test_fault_that_was_not_survived_is_tried_named_and_the_status() -> None:
    outcomes = (*SURVIVED, NOT_SURVIVED)
    text = table(outcomes)
    assert cells(text, "host")[:3] == ["host", "2", "1"]
    assert cells(text, "all")[:3] == ["all", "6", "5"]
    assert text.splitlines()[-1] == "not survived: host: disk full: call: AssertionError: lease gone"
    assert exit_status(outcomes) == 1


def test_nothing_tried_is_no_success() -> None:
    assert exit_status(()) == 1
    assert cells(table(()), "all")[:3] == ["all", "0", "0"]


def test_report_keeps_what_was_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT_VARIABLE, str(tmp_path / "report"))
    note = noted("etcd", "frozen", gap_ms=31.0)
    keep(NOT_SURVIVED, tmp_path / "report")
    assert read(tmp_path / "report") == [note, NOT_SURVIVED]


def test_command_prints_a_report_and_fails_with_what_was_not_survived(tmp_path: Path) -> None:
    for outcomes, status in ((SURVIVED, 0), ((*SURVIVED, NOT_SURVIVED), 1)):
        report = tmp_path / f"report-{status}"
        for outcome in outcomes:
            keep(outcome, report)
        done = subprocess.run(
            [sys.executable, "-m", "integration.drivers.matrix", str(report)],
            capture_output=True, text=True, check=False, cwd=tested.ROOT,
        )  # fmt: skip
        assert (done.stdout, done.returncode) == (table(outcomes), status), done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lost": 3}, "3 of 30000 datagrams lost"),
        ({"sent": 0}, "nothing was measured"),
        ({"looks": 0}, "nothing was measured"),
        ({"tcp_whole": False}, "TCP stream broke"),
        ({"overlaps": ("a and b",)}, "leases overlapped: a and b"),
        ({"moved": ("h1: a to b",)}, "subnets moved: h1: a to b"),
        ({"log_lines": MOST_LOG_LINES + 1}, "20 log lines"),
        ({"cpu_s": 1.0}, "1.0 s of CPU time"),
        ({"converged_s": SECONDS_TO_CONVERGE + 1}, "31.0 s to converge"),
    ],
)
def test_toll_beyond_a_bound_is_not_survived(changes: dict[str, object], words: str) -> None:
    assert wrongs(CALM) == ()
    assert outcome_of(CALM).survived
    dear = replace(CALM, **changes)  # type: ignore[arg-type]
    assert words in "; ".join(wrongs(dear))
    assert not outcome_of(dear).survived


def test_every_test_of_a_fault_belongs_to_one_family() -> None:
    found = [file for family in FAMILIES for file in tested.files_of([family])]
    there = [
        str(path.relative_to(tested.ROOT))
        for name in ("faults", "hostile")
        for path in (tested.ROOT / "tests" / name).glob("test_*.py")
    ]
    assert sorted(found) == sorted(there)
    assert all(tested.files_of([family]) for family in FAMILIES if family not in ALONE)


PASSING_AND_FAILING = """
import os
import pytest
from integration.drivers.matrix.outcome import noted

def test_link_is_made_anew_when_it_was_deleted():
    noted("kernel", "link deleted", gap_ms=3.0)

def test_nothing_is_noted_here():
    pass

@pytest.mark.parametrize("fault", ["renamed"])
def test_link_is_found_when_it_was(fault):
    assert fault == "deleted", "nobody found it"
"""


def test_tests_that_fail_or_say_nothing_are_noted_by_name(tmp_path: Path) -> None:
    (tmp_path / "test_kernel_some.py").write_text(PASSING_AND_FAILING)
    report = tmp_path / "report"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
         "-p", "integration.drivers.matrix.notes",
         "-c", "/dev/null", f"--rootdir={tmp_path}", str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tested.ROOT), REPORT_VARIABLE: str(report)},
        cwd=tested.ROOT, capture_output=True, check=False,
    )  # fmt: skip
    outcomes = read(report)
    assert [(one.family, one.fault, one.survived) for one in outcomes] == [
        ("kernel", "link deleted", True),
        ("kernel", "nothing is noted here", True),
        ("kernel", "link is found when it was[renamed]", False),
    ]
    assert "nobody found it" in outcomes[2].wrong
