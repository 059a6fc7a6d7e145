"""`flanpyctl doctor`: what it prints and how it ends, with and without a daemon."""

from __future__ import annotations

import copy
import json
from argparse import Namespace

import pytest

from flanpy.cli.base.host import Host
from flanpy.cli.repair import doctor_fix
from flanpy.doctor.finding import Finding, Repair, Severity
from flanpy.doctor.registry import checked
from tests.cli.conftest import Ctl
from tests.cli.stand_in import STATUS, StandIn

NO_ETCD = ("--etcd-endpoints", "http://127.0.0.1:1")
FOREIGN = Repair(("iptables-nft", "-t", "nat", "-D", "POSTROUTING", "-j", "MASQUERADE"), removes=True)


def _ask(stand_in: StandIn) -> None:
    status = copy.deepcopy(STATUS)
    status["conditions"].append(
        {
            "type": "LeaseConflict",
            "status": "True",
            "reason": "OwnedByAnother",
            "message": "node-\x1b[31m9 claims it",
            "cure": "drain one",
            "healthy": False,
        }
    )
    stand_in.answers.update(status=status, peers={"peers": []}, events={"events": []})


def test_doctor_says_as_json_what_ails_the_host_and_what_was_checked(ctl: Ctl, daemon: StandIn) -> None:
    _ask(daemon)
    ended = ctl("doctor", "-o", "json", *NO_ETCD)
    said = json.loads(ended.out)
    assert ended.code == 5
    assert not said["healthy"]
    found = {finding["id"]: finding for finding in said["findings"]}
    assert said["findings"][0]["id"] == "P24"
    assert found["P26"]["condition"] == "LeaseConflict"
    keys = {"id", "title", "severity", "condition", "evidence", "cure", "grant", "fix", "follows", "page"}
    assert set(found["P26"]) == keys
    assert found["P26"]["page"].endswith("/reference/P26.html")
    assert said["checked"] == list(checked())


def test_doctor_prints_findings_with_cures_and_no_control_characters(ctl: Ctl, daemon: StandIn) -> None:
    _ask(daemon)
    ended = ctl("doctor", "-v", *NO_ETCD)
    assert ended.code == 5
    assert "P26  error: another host claims this host's subnet\n     OwnedByAnother: node-?[31m9" in ended.out
    assert "     Fix: drain one" in ended.out
    assert "     See: https://example.org/flanpy/docs/reference/P26.html" in ended.out
    assert "P29  ok: reservations are honoured" in ended.out


def test_doctor_checks_what_it_can_without_a_daemon(ctl: Ctl) -> None:
    ended = ctl("doctor", "-o", "json", *NO_ETCD)
    assert ended.code == 3
    assert [finding["id"] for finding in json.loads(ended.out)["findings"]][:2] == ["P31", "P24"]


def test_fix_is_refused_where_nobody_can_be_asked(ctl: Ctl) -> None:
    assert ctl("doctor", "--fix", "-o", "json").code == 2


def test_fix_with_yes_leaves_alone_what_somebody_else_made(
    daemon: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["reload"] = {"changed": [], "restart_needed": []}
    host = Host(Namespace())
    findings = [
        Finding(id="P35", title="stale", severity=Severity.WARNING, repair=Repair(("flanpyctl", "reload"))),
        Finding(id="P08", title="foreign", repair=FOREIGN),
    ]
    fixed = doctor_fix.repair(findings, host, yes=True)
    assert [str(one) for one in fixed.done] == ["flanpyctl reload"]
    assert capsys.readouterr().out == (f"+ flanpyctl reload\nleft alone, as it is foreign: {FOREIGN}\n")
    assert daemon.asked == ["POST reload"]
