"""The lab's faults, and the first line that each host says of one: the cause, on the host that has it and on others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from flanpy.cli.base.control import Control
from integration.faults.catalogue import fault
from integration.faults.fault import PLAIN, struck
from integration.lab import Host, Lab, flanpyctl
from tests.lab.injected_side import standing
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SEEN_S = 40.0


@dataclass(frozen=True, slots=True)
class Told:
    """Patterns of the verdicts: `host` of the one that is struck, `other` of one that is not, "" where all is well.

    `cluster` is the cluster's on a host that is not struck.
    """

    host: str
    other: str = ""
    cluster: str = ""


PAIR = r"1 of 3 links broken: h\d <?-> h\d"
CUT_OFF = r"2 of 3 links broken: .*h\d"

TABLE = {
    "nic_down": Told(r"does not work: eth0 is down", r"works, but 1 of 2 peers unreachable", CUT_OFF),
    "cable_cut": Told(
        r"works, but eth0 (has no carrier|reaches neither)", r"works, but 1 of 2 peers unreachable", CUT_OFF
    ),
    "black_hole": Told(
        r"works, but large packets of 1 peer vanish",
        r"works, but large packets of",
        r"2 of 3 links .*MTUBlackHole",
    ),
    "etcd_refused": Told(r"works, but .*2379"),
    "leases_poisoned": Told(r"works, but .*10\.50", r"works, but .*10\.50"),
    "config_spoilt": Told(r"works, but .*(config|JSON)", r"works, but .*(config|JSON)"),
    "port_blocked": Told(r"works, but 1 of 2 peers unreachable: h\d -> h\d: PortBlocked", "", PAIR),
}


@pytest.fixture(scope="module")
def three() -> Iterator[Lab]:
    with standing(PLAIN) as lab:
        yield lab


def _verdict(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = Control(host.daemon.run_dir).get("verdict")
    return found


def _is_told(host: Host, wanted: str) -> bool:
    said = _verdict(host)["host"]
    if not wanted:
        return bool(said["state"] == "well" and said["text"] == f"{host.name} works")
    return said["state"] != "well" and re.search(wanted, said["text"]) is not None


def _all_well(lab: Lab) -> bool:
    said = [_verdict(host) for host in lab.hosts]
    return all(one["host"]["state"] == one["cluster"]["state"] == "well" for one in said)


def _everything(lab: Lab) -> str:
    return json.dumps([_verdict(host) for host in lab.hosts], indent=1)


@pytest.mark.parametrize("name", TABLE)
def test_first_line_names_the_cause_on_the_host_that_has_it_and_on_the_others(name: str, three: Lab) -> None:
    told, hosts = TABLE[name], three.hosts
    eventually(lambda: _all_well(three), lambda: _everything(three), deadline=SEEN_S)
    with struck(fault(name), three, host=hosts[0]):
        eventually(lambda: _is_told(hosts[0], told.host), lambda: _everything(three), deadline=SEEN_S)
        eventually(lambda: _is_told(hosts[2], told.other), lambda: _everything(three), deadline=SEEN_S)
        if told.cluster:
            eventually(
                lambda: re.search(told.cluster, _verdict(hosts[2])["cluster"]["text"]) is not None,
                lambda: _everything(three),
                deadline=SEEN_S,
            )
        _views_agree(hosts[0])
    eventually(lambda: _all_well(three), lambda: _everything(three), deadline=SEEN_S)


def _views_agree(host: Host) -> None:
    """Status and doctor begin with the same cause, and end alike, once what follows of the fault is told, too."""
    seen: list[object] = []

    def agree() -> bool:
        status = host.run(*flanpyctl(), "status", check=False)
        doctor = host.run(*flanpyctl(), "doctor", "-o", "json", check=False)
        cause = _verdict(host)["host"]["cause"]
        told = json.loads(doctor.stdout)["findings"]
        errors = [one for one in told if one["severity"] == "error" and not one["follows"]]
        seen[:] = [status, doctor, cause]
        alike = (status.returncode, doctor.returncode) == (5, 5)
        return alike and (not errors or errors[0]["condition"] in {cause, ""})

    eventually(agree, lambda: seen, deadline=SEEN_S)
