"""Diagnosis: each piece of evidence leads to its words, the cause nearest to this host first."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from flanpy.model.reach import PathMtu, Reach, Trouble
from flanpy.probe.diagnosis import Evidence, LocalFaults, diagnose

DEAD = Evidence("a", "b", "192.0.2.2", Reach.UNREACHABLE, port="UDP port 8472")
BENEATH = replace(DEAD, beneath=True)
WELL = replace(BENEATH, reach=Reach.REACHABLE)

CASES = {
    "well": (WELL, Trouble.NONE),
    "not known yet": (replace(DEAD, reach=Reach.UNKNOWN), Trouble.NONE),
    "nothing answers": (DEAD, Trouble.PEER_DOWN),
    "nobody answers": (replace(DEAD, alone=True), Trouble.NO_UNDERLAY),
    "no route beneath": (replace(DEAD, errno_beneath=errno.ENETUNREACH), Trouble.NO_UNDERLAY),
    "no underlay here": (replace(DEAD, local_faults=LocalFaults(underlay="no link")), Trouble.NO_UNDERLAY),
    "only the underlay answers": (BENEATH, Trouble.PORT_BLOCKED),
    "no pings": (replace(BENEATH, reach=Reach.REACHABLE, ignores_pings=True), Trouble.NONE),
    "only to TCP": (replace(BENEATH, tcp=True), Trouble.PORT_BLOCKED),
    "no port to be blocked": (replace(BENEATH, port=""), Trouble.UNEXPLAINED),
    "they are heard": (replace(BENEATH, heard=True), Trouble.ONE_WAY_OUT),
    "they hear us": (replace(BENEATH, is_heard=True), Trouble.ONE_WAY_IN),
    "heard beneath only": (replace(DEAD, heard_beneath=True), Trouble.ONE_WAY_OUT),
    "our filter": (replace(BENEATH, errno=errno.EPERM), Trouble.FIREWALL),
    "their filter": (replace(BENEATH, refused="192.0.2.2"), Trouble.FIREWALL),
    "a filter beneath": (replace(DEAD, refused_beneath="192.0.2.254"), Trouble.FIREWALL),
    "our rules": (replace(BENEATH, local_faults=LocalFaults(firewall="rules are gone")), Trouble.FIREWALL),
    "wrong entry": (replace(BENEATH, local_faults=LocalFaults(entries="a foreign entry")), Trouble.WRONG_MAC),
    "entry lacking": (
        replace(BENEATH, local_faults=LocalFaults(lacking="the kernel refused")),
        Trouble.UNEXPLAINED,
    ),
    "strict filter": (
        replace(BENEATH, local_faults=LocalFaults(reverse_path="strict")),
        Trouble.REVERSE_PATH,
    ),
    "cannot send": (replace(BENEATH, errno=errno.EHOSTUNREACH), Trouble.UNEXPLAINED),
    "large ones vanish": (replace(WELL, mtu=PathMtu(1350, 1450)), Trouble.MTU_BLACK_HOLE),
    "some are lost": (replace(WELL, reach=Reach.LOSSY, loss=0.4), Trouble.LOSS),
}


@pytest.mark.parametrize("name", CASES)
def test_evidence_leads_to_its_trouble(name: str) -> None:
    evidence, trouble = CASES[name]
    found = diagnose(evidence)
    assert found.trouble is trouble
    assert bool(found.evidence) == bool(found.cure) == (trouble is not Trouble.NONE or evidence.ignores_pings)
    assert "\n" not in found.evidence + found.cure


def test_blocked_port_names_the_pair_and_the_port() -> None:
    assert "UDP port 8472 is blocked between a and b" in diagnose(BENEATH).evidence


def test_cause_on_this_host_comes_before_what_probes_see() -> None:
    seen = replace(
        BENEATH, heard=True, local_faults=LocalFaults(underlay="no link", firewall="rules are gone")
    )
    assert diagnose(seen).trouble is Trouble.NO_UNDERLAY
