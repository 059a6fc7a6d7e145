"""Three hosts with one link cut: every view of every host names that pair, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from integration.etcd.api import NamespaceConnection
from integration.faults.fault import PLAIN
from integration.lab import Host, Lab, flanpyctl
from tests.lab.injected_side import condition, doctor, standing, wait_well, would_fire
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PAGE_PORT = 8474
EVENTUALLY_S = 20.0

Pairs = set[tuple[str, str]]


@pytest.fixture(scope="module")
def whole() -> Iterator[Lab]:
    with standing(PLAIN) as lab:
        for host in lab.hosts:
            wait_well(host)
        yield lab


def _said(host: Host, *words: str) -> Any:
    return json.loads(host.run(*flanpyctl(), *words, "-o", "json", check=False).stdout)


def _page(host: Host) -> dict[str, Any]:
    """The first whole document of the page's stream."""
    with closing(NamespaceConnection(host.namespace, "127.0.0.1", PAGE_PORT, timeout=20.0)) as connection:
        connection.request("GET", "/events")
        answer = connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: {"):
                found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                return found
    raise OSError(f"{host.name}: the page's stream ended")


def _in_text(text: str) -> Pairs:
    """Pairs as they are written for people."""
    return {(one, other) for one, other in re.findall(r"\b(h\d) -> (h\d)\b", text)}


def _of_mesh(mesh: dict[str, Any]) -> Pairs:
    return {(row["from"], row["to"]) for row in mesh["rows"] if row["reach"] in {"unreachable", "lossy"}}


def _of_rows(host: Host, rows: list[dict[str, Any]]) -> Pairs:
    return {(host.name, row["node_id"]) for row in rows if row["reach"] in {"unreachable", "lossy"}}


def _by_status(host: Host) -> Pairs:
    said = condition(host, "PeersReachable")
    return set() if said["healthy"] else _in_text(json.dumps([said["message"], said["evidence"]]))


def _by_peers(host: Host) -> Pairs:
    return _of_rows(host, _said(host, "peers")["peers"])


def _by_doctor(host: Host) -> Pairs:
    return _in_text(json.dumps([one for one in doctor(host)[:1] if one["severity"] == "error"]))


def _by_metrics(host: Host) -> Pairs:
    return {
        (host.name, peer)
        for peer in re.findall(r'flanpy_peer_reachable\{.*peer="(h\d)".*\} 0', _metrics(host))
    }


def _metrics(host: Host) -> str:
    return host.daemon.metrics().replace("\\", "")


def _by_events(host: Host) -> Pairs:
    events = _said(host, "events")["events"]
    return {(host.name, one["what"]) for one in events if one["kind"] == "peer_unreachable" and one["lasts"]}


def _by_ping_all(host: Host) -> Pairs:
    return _of_mesh(_said(host, "ping", "--all"))


def _by_page(host: Host) -> Pairs:
    return _of_mesh(_page(host)["mesh"])


LOCAL: dict[str, Callable[[Host], Pairs]] = {
    "status": _by_status,
    "peers": _by_peers,
    "doctor": _by_doctor,
    "metrics": _by_metrics,
    "events": _by_events,
}
"""What a host knows of itself: its own half of the pair, and nothing on a host that has no part in it."""

OF_ALL: dict[str, Callable[[Host], Pairs]] = {"ping --all": _by_ping_all, "page": _by_page}


def test_every_view_names_the_pair_whose_link_is_cut_and_no_other(whole: Lab) -> None:
    one, two, three = whole.hosts
    pair: Pairs = {(one.name, two.name), (two.name, one.name)}
    with whole.faults.partition([one], [two]):
        for host in whole.hosts:
            own_half = {(sender, receiver) for sender, receiver in pair if sender == host.name}
            for view, look in LOCAL.items():
                _shows(host, view, look, own_half)
            for view, look in OF_ALL.items():  # an agent beyond the cut cannot be asked for its half
                _shows(host, view, look, own_half or pair)
        assert would_fire(one, "FlanpyPeersUnreachable")
        assert would_fire(two, "FlanpyPeersUnreachable")
        assert not would_fire(three, "FlanpyPeersUnreachable")
    for view, look in (LOCAL | OF_ALL).items():
        for host in whole.hosts:
            _shows(host, view, look, set())
    for host in whole.hosts:
        wait_well(host)


def _shows(host: Host, view: str, look: Callable[[Host], Pairs], wanted: Pairs) -> None:
    seen: list[Pairs] = []

    def holds() -> bool:
        seen[:] = [look(host)]
        return seen[0] == wanted

    eventually(holds, lambda: f"{view} of {host.name} names {seen}, not {wanted}", deadline=EVENTUALLY_S)
