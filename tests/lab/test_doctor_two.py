"""Two problems at once: doctor names both, and first the one that explains the other or stands nearer to the cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from integration.faults.catalogue import inject
from integration.faults.fault import PLAIN
from integration.lab import ETCD_PREFIX, Host, Lab
from tests.lab.conftest import _standing
from tests.lab.injected_side import doctor, look, standing, wait_well
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def plain() -> Iterator[Lab]:
    with standing(PLAIN) as lab:
        _standing.append(lab)
        yield lab
        _standing.remove(lab)


def _named(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["id"] for one in found if one["severity"] != "note"))


def _are_named(host: Host, first: str, second: str) -> bool:
    named = _named(look(host))
    return bool(named) and named[0] == first and second in named


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("P16", "P06"),  # what etcd says stands before what probes find
        ("P24", "P06"),
        ("P24", "P32"),
        ("P31", "P32"),  # a daemon that hangs hides nothing that the kernel tells
        ("P31", "P02"),
        ("P32", "P06"),
        ("P02", "P19"),
        ("P16", "P10"),
        ("P21", "P30"),
    ],
)
def test_doctor_names_two_problems_at_once_and_the_cause_first(first: str, second: str, plain: Lab) -> None:
    host = plain.hosts[0]
    wait_well(host)
    with inject(second, plain), inject(first, plain):
        eventually(
            lambda: _are_named(host, first, second),
            lambda: [(one["id"], one["severity"], one["title"]) for one in look(host)],
            deadline=DEADLINE_S,
        )
        eventually(
            lambda: _named(doctor(host))[:1] == [first], lambda: _named(doctor(host)), deadline=DEADLINE_S
        )
    wait_well(host)


def test_p15_held_deletions_are_named_behind_the_etcd_that_is_away(plain: Lab) -> None:
    """A peer left while the daemon was down, and etcd is away when it starts: nobody knows that it left."""
    host, peer = plain.hosts[0], plain.hosts[1]
    wait_well(host)
    host.daemon.kill()
    entry = next(e for e in plain.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if f'"{peer.name}"' in e.value)
    peer.daemon.kill()
    plain.etcd.api.delete(entry.key)
    routes = host.routes().keys()
    with inject("P24", plain):
        host.daemon.launch(*PLAIN.flags)
        eventually(
            lambda: _are_named(host, "P24", "P15"),
            lambda: json.dumps(look(host), indent=1),
            deadline=DEADLINE_S,
        )
        assert host.routes().keys() >= routes, "nothing is taken away"
    peer.daemon.up(*PLAIN.flags)
    wait_well(host)
