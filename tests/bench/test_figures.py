"""The arithmetic of the benchmark, its table and its JSON. Nothing here measures a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import document, parts, record, table
from bench.figures import Figure, Spread, Verdict, figure, paired_ratios, percentile
from bench.run import alternated

FAST = figure(
    "start.1000", "exec to ready", "s", [0.9, 0.7, 0.8], at_most=1.4, flannel="1.2 s", note="A start."
)
SLOW = figure("start.4000", "exec to ready, 4,000", "s", [3.0], at_most=2.5, note="A start.")
PLAIN = figure("path.ping", "ping", "ms", 0.08)


def test_value_is_the_median_whatever_the_order_of_samples() -> None:
    assert FAST.value == 0.8
    assert figure("a.b", "x", "", [4, 1, 2, 3]).value == 2.5


def test_spread_stays_within_the_samples() -> None:
    spread = Spread.of([1.0, 2.0, 10.0])
    assert (spread.least, spread.low, spread.median, spread.high, spread.most) == (1.0, 1.5, 2.0, 6.0, 10.0)
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0, 5.0, 5.0)


def test_figure_refuses_to_be_made_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"a\.b: no samples"):
        figure("a.b", "x", "", [])


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(1.0, 1.0, Verdict.MET), (1.01, 1.0, Verdict.MISSED), (0.0, 0.0, Verdict.MET), (9.0, None, Verdict.REPORTED)],
)  # fmt: skip
def test_verdict_compares_the_value_with_the_target(
    value: float, at_most: float | None, verdict: Verdict
) -> None:
    assert figure("a.b", "x", "", value, at_most=at_most).verdict is verdict


@pytest.mark.parametrize(("value", "verdict"), [(2.5, Verdict.MET), (2.49, Verdict.MISSED)])
def test_verdict_of_a_figure_that_is_to_be_large(value: float, verdict: Verdict) -> None:
    found = figure("a.b", "x", "x", value, at_least=2.5)
    assert found.verdict is verdict
    assert ">= 2.50 x" in table.row(found)
    assert record.figures_of(record.document([found], {}, quick=False)) == [found]


def test_strain_is_one_just_at_the_target_and_less_within_it() -> None:
    assert figure("a.b", "x", "", 3.0, at_most=4.0).strain == 0.75
    assert figure("a.b", "x", "", 4.0, at_least=3.0).strain == 0.75
    assert figure("a.b", "x", "", 4.0).strain is None
    assert figure("a.b", "x", "", 0.0, at_most=0.0).strain is None


def test_ratios_are_taken_pair_by_pair() -> None:
    assert paired_ratios([1.0, 8.0], [2.0, 4.0]) == (0.5, 2.0)
    with pytest.raises(ValueError, match="longer"):
        paired_ratios([1.0], [2.0, 3.0])


def test_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert (percentile(hundred, 99), percentile(hundred, 1), percentile([7.0], 99)) == (99.0, 1.0, 7.0)


def test_sides_alternate_and_swap_every_second_turn() -> None:
    order: list[str] = []

    def side(name: str) -> str:
        order.append(name)
        return name

    ours, theirs = alternated(range(3), lambda: side("a"), lambda: side("b"))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert (ours, theirs) == (["a"] * 3, ["b"] * 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0816, "0.082"), (3.0, "3"), (0, "0")],
)  # fmt: skip
def test_numbers_show_the_digits_that_matter(value: float, text: str) -> None:
    assert table.digits(value) == text


def test_table_groups_by_part_and_names_what_was_missed() -> None:
    lines = table.render([FAST, SLOW, PLAIN], parts.TITLES).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "Starting", "Traffic between containers on two hosts", "1 of 2 targets met; missed: start.4000",
    ]  # fmt: skip
    first = next(line for line in lines if "exec to ready " in line)
    assert first.endswith("1.2 s")
    assert "<= 1.40 s" in first
    assert " met " in first


def test_notes_are_told_once_however_many_figures_bear_them() -> None:
    assert table.notes([FAST, SLOW, PLAIN]) == "start.1000: A start."


def test_json_keeps_all_that_a_figure_is(tmp_path: Path) -> None:
    about = {"cores": 2}
    record.save(tmp_path / "new" / "latest.json", record.document([FAST, PLAIN], about, quick=True))
    found = json.loads((tmp_path / "new" / "latest.json").read_text())
    assert {"schema", "taken_at", "quick", "machine", "figures"} == found.keys()
    assert (found["schema"], found["quick"], found["machine"]) == (1, True, about)
    assert found["figures"][0] == {
        "id": "start.1000", "part": "start", "what": "exec to ready", "unit": "s", "value": 0.8,
        "quartiles": [pytest.approx(0.75), pytest.approx(0.85)], "extremes": [0.7, 0.9], "at_most": 1.4,
        "at_least": None, "verdict": "met", "flannel": "1.2 s", "note": "A start.", "samples": [0.9, 0.7, 0.8],
    }  # fmt: skip
    assert record.figures_of(found) == [FAST, PLAIN]


def test_parts_not_measured_this_time_keep_their_figures_and_their_date() -> None:
    def document(*figures: Figure) -> dict[str, object]:
        return record.document(figures, {}, quick=False)

    old = {**document(SLOW, PLAIN), "taken_at": "before"}
    found = record.merged(old, document(figure("path.tcp", "TCP", "Gbit/s", 7)), ["start", "path"])
    assert [row["id"] for row in found["figures"]] == ["start.4000", "path.tcp"]
    assert found["figures"][0]["taken_at"] == "before"
    assert "taken_at" not in found["figures"][1]


def test_parts_that_are_no_more_are_forgotten() -> None:
    old, new = (record.document([each], {}, quick=False) for each in (SLOW, PLAIN))
    assert [row["id"] for row in record.merged(old, new, ["path"])["figures"]] == ["path.ping"]


def test_figures_of_another_schema_are_left_behind() -> None:
    new = record.document([FAST], {}, quick=False)
    assert record.merged({"schema": 0, "figures": [1]}, new, ["start"]) == new
    assert record.merged(None, new, ["start"]) == new


def test_nothing_stored_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"schema"')
    assert record.load(tmp_path / "absent.json") is None
    assert record.load(tmp_path / "torn.json") is None


def test_page_has_a_table_for_each_part_and_says_where_and_when() -> None:
    about = {
        "cores": 2,
        "cpu": "X",
        "kernel": "6.1",
        "python": "3.11",
        "iproute2": "ip-6",
        "packages": {"grpcio": "1"},
    }
    found = {**record.document([FAST, SLOW, PLAIN], about, quick=False), "taken_at": "2026-01-02T03:04:05Z"}
    page = document.markdown(found, parts.TITLES)
    assert "Taken 2026-01-02 on 2 cores of X, Linux 6.1, Python 3.11, ip-6; grpcio 1." in page
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Starting", "## Traffic between containers on two hosts",
    ]  # fmt: skip
    assert "| exec to ready | 0.80 s | 0.75 .. 0.85 | ≤ 1.40 s | met | 1.2 s |" in page
    assert page.count("A start.") == 1


def test_section_of_a_run_of_its_own_takes_its_place_and_leaves_the_others_as_they_stand() -> None:
    about = {"cores": 2, "cpu": "X", "kernel": "6.1", "python": "3.11", "commit": "abc", "load": 5.0}
    found = {**record.document([FAST, PLAIN], about, quick=True), "taken_at": "2026-01-02T03:04:05Z"}
    head, path, modes = "head\n", "Traffic between containers on two hosts", parts.TITLES["modes"]
    page = f"{head}\n## {path}\n\nold\n\n## {modes}\n\nlast\n"
    once = document.refreshed(page, found, parts.TITLES, ["start"])
    assert [line for line in once.splitlines() if line.startswith("## ")] == [
        "## Starting", f"## {path}", f"## {modes}",
    ]  # fmt: skip
    assert once.startswith(head)
    assert once.endswith(page.removeprefix(head))
    assert "A run of its own, quick, 2026-01-02: 2 cores of X" in once
    assert "other programs shared the machine (load 5.0)" in once
    assert document.refreshed(once, found, parts.TITLES, ["start"]) == once
    assert "old" not in document.refreshed(page, found, parts.TITLES, ["path"])
