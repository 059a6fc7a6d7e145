"""Hosts go by their names: in every view, as an argument of every command, and without a change of what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

IDS = ("8b59ba4216721489", "c01d52f07be3a941", "0d2fd0b4f7a61c55")
NAMES = ("web-1", "web-2", "web-2")


def _start(host: Host, number: int, name: str = "") -> None:
    named = {"FLANPYD_HOST_NAME": name} if name else {}
    host.daemon.up(env={"FLANPYD_NODE_ID": IDS[number], **named})


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, ...]]:
    """Three hosts with the ids that real ones have; the first two with names of their own."""
    with Lab(3) as lab:
        lab.configure()
        for number, host in enumerate(lab.hosts[:2]):
            _start(host, number, NAMES[number])
        yield tuple(lab.hosts)


def _ctl(host: Host, *words: str, ends: int = 0) -> str:
    done = host.run(*flanpyctl(), *words, check=False)
    assert done.returncode == ends, done
    return str(done.stdout + done.stderr)


def _said(host: Host, *words: str) -> Any:
    return json.loads(_ctl(host, *words, "-o", "json"))


def _named(host: Host) -> set[str]:
    return {row["host"] for row in _said(host, "subnets")["subnets"]}


def test_every_view_shows_the_name_and_not_the_hash(hosts: tuple[Host, ...]) -> None:
    one = hosts[0]
    eventually(lambda: "web-2" in _ctl(one, "ping", "--all"), "the mesh of both")
    for view in (("subnets",), ("peers",), ("ping",), ("ping", "--all"), ("events",), ("trace", "web-2")):
        shown = _ctl(one, *view)
        assert "web-2" in shown, view
        assert IDS[1] not in shown, view
    assert IDS[1] in _ctl(one, "subnets", "-o", "wide")
    assert IDS[1] in _ctl(one, "peers", "-o", "wide")
    assert f"web-1, node id {IDS[0]}" in _ctl(one, "status")


def test_every_command_takes_a_host_by_name_subnet_or_any_address_in_it(hosts: tuple[Host, ...]) -> None:
    one, two = hosts[:2]
    eventually(lambda: "web-2" in _named(one), "the hosts know each other")
    subnet = next(row for row in _said(one, "subnets")["subnets"] if row["host"] == "web-2")["subnet"]
    container = subnet.replace(".0/24", ".77")
    for word in ("web-2", "WEB-2", IDS[1], subnet, container, str(two.address)):
        assert _said(one, "subnets", "show", word)["subnet"] == subnet, word
        assert [row["subnet"] for row in _said(one, "ping", word)["peers"]] == [subnet], word


def test_name_is_added_to_a_lease_once_and_moves_nothing(hosts: tuple[Host, ...]) -> None:
    """A host that was updated: its old lease has no name."""
    one, _, three = hosts
    _start(three, 2)
    eventually(lambda: IDS[2] in _named(one), "the lease without a name")
    before = _said(one, "subnets")["subnets"]
    three.daemon.stop()
    _start(three, 2, "web-3")
    eventually(lambda: "web-3" in _named(one), "the name")
    after = _said(one, "subnets")["subnets"]
    assert [row["key"] for row in after] == [row["key"] for row in before]
    revision = _said(one, "subnets")["revision"]
    _ctl(one, "ping", "web-3")
    assert _said(one, "subnets")["revision"] == revision


def test_two_hosts_of_one_name_are_told_apart_everywhere(hosts: tuple[Host, ...]) -> None:
    one, _, three = hosts
    three.daemon.stop()
    _start(three, 2, NAMES[2])
    both = {f"web-2~{IDS[1]}", f"web-2~{IDS[2]}"}
    eventually(lambda: both <= _named(one), "both names")
    assert "2 subnets" in _ctl(one, "subnets", "show", "web-2", ends=6)
    assert _said(one, "subnets", "show", f"web-2~{IDS[2]}")["node_id"] == IDS[2]
    three.daemon.stop()
