"""The alerts that are shipped: valid, tested both ways, explained, and about what flanpyd really tells."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from flanpy.model.condition import ConditionType
from tests.monitoring import everything
from tests.monitoring.promtool import promtool

SHIPPED = Path(__file__).parents[2] / "deploy/monitoring"
RULES = SHIPPED / "flanpy.rules.yml"
TESTS = SHIPPED / "flanpy.rules.test.yml"
ALERTS = tuple(re.findall(r"(?m)^ +- alert: (\w+)$", RULES.read_text()))


def test_alerts_were_found_and_have_names_of_their_own() -> None:
    assert len(ALERTS) == len(set(ALERTS)) > 20


def test_every_alert_has_a_firing_and_a_quiet_case() -> None:
    cases = re.findall(r"(?m)^  - name: '(\w+) (fires|is quiet)'$", TESTS.read_text())
    assert sorted(cases) == sorted((alert, case) for alert in ALERTS for case in ("fires", "is quiet"))


def test_every_firing_case_expects_an_alert_and_every_quiet_one_none() -> None:
    for case in TESTS.read_text().split("  - name: ")[1:]:
        title = case.partition("\n")[0]
        assert ("exp_labels:" in case) == title.endswith("fires'"), title
        assert "exp_alerts: []" in case, title


def test_every_alert_has_a_runbook_page_and_no_page_is_left_over() -> None:
    assert {page.stem for page in (SHIPPED / "runbooks").iterdir()} == set(ALERTS)
    urls = re.findall(r"(?m)^ +runbook_url: (\S+)$", RULES.read_text())
    documentation = tomllib.loads((SHIPPED.parents[1] / "pyproject.toml").read_text())["project"]["urls"][
        "Documentation"
    ]
    assert urls == [f"{documentation}/reference/alerts.html#{alert.lower()}" for alert in ALERTS]


def test_alerts_lead_to_runbooks_of_the_operators_own(tmp_path: Path) -> None:
    script, out = SHIPPED / "dashboards.py", tmp_path / "new"
    pattern = "https://wiki.example.org/flanpy/{alert}?view=1#top"
    subprocess.run([sys.executable, script, out, "--runbooks", pattern], check=True, timeout=60)
    written, shipped = (
        [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
        for path in (out / RULES.name, RULES)
    )
    found = [rule["annotations"].pop("runbook_url") for rule in written if "alert" in rule]
    assert found == [pattern.replace("{alert}", alert) for alert in ALERTS]
    for rule in shipped:
        rule.get("annotations", {}).pop("runbook_url", None)
    assert written == shipped

    refused = subprocess.run(
        [sys.executable, script, out, "--runbooks", "https://wiki.example.org"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "https://wiki.example.org: no {alert} in it" in refused.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_runbook_page_says_what_it_means_where_to_look_and_what_to_do(alert: str) -> None:
    text = (SHIPPED / f"runbooks/{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"(?m)^## (.*)$", text) == [
        "What it means", "What it does", "Where to look", "What to do", "When it clears",
    ]  # fmt: skip
    for target in re.findall(r"\]\((\S+?)\)", text):
        assert (SHIPPED / "runbooks" / target).is_file(), target


def test_every_condition_has_an_alert() -> None:
    asked = re.findall(
        r"""(?m)flanpy_condition_healthy\{condition="(\w+)"\} == 0(?: unless .*)?'$""", RULES.read_text()
    )
    assert sorted(asked) == sorted(kind.value for kind in ConditionType)


def test_alerts_ask_only_for_what_flanpyd_tells(tmp_path: Path) -> None:
    asked = set(re.findall(r"\bflanpy_\w+", RULES.read_text()))
    assert asked <= everything.families(tmp_path)


def test_guide_names_only_what_flanpyd_tells(tmp_path: Path) -> None:
    named = set(re.findall(r"`(flanpy_\w+[a-z])`", (SHIPPED / "README.md").read_text()))
    assert named <= everything.families(tmp_path)


def test_runbook_pages_name_only_what_flanpyd_tells(tmp_path: Path) -> None:
    told = everything.families(tmp_path)
    for page in (SHIPPED / "runbooks").iterdir():
        assert set(re.findall(r"\bflanpy_\w+", page.read_text())) <= told, page.name


def _commands() -> list[str]:
    """Return the flanpyctl commands that the runbooks give: the words before any value."""
    text = "\n".join(page.read_text() for page in (SHIPPED / "runbooks").iterdir())
    return sorted(set(re.findall(r"`flanpyctl ((?:-{0,2}[a-z]+ ?)+)", text)))


@pytest.mark.parametrize("command", _commands())
def test_command_that_a_page_names_exists(command: str) -> None:
    asked = [sys.executable, "-c", "from flanpy.cli.main import main; main()", *command.split(), "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.lab
def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(SHIPPED / "prometheus.yml"))


@pytest.mark.lab
def test_each_alert_fires_and_stays_quiet_as_its_cases_say() -> None:
    promtool("test", "rules", str(TESTS))


@pytest.mark.lab
def test_cases_fail_when_an_alert_never_fires(tmp_path: Path) -> None:
    for file in (RULES, TESTS):
        (tmp_path / file.name).write_text(file.read_text().replace("> 0.05", "> 0.5"))
    with pytest.raises(AssertionError, match="FlanpyPeersLossy"):
        promtool("test", "rules", str(tmp_path / TESTS.name))


@pytest.mark.lab
def test_promtool_has_nothing_to_say_against_names_and_units(tmp_path: Path) -> None:
    assert not promtool("check", "metrics", stdin=everything.page(tmp_path)).strip()
