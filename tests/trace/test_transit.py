"""The questions for which a change of packet filter rules is looked through, and the program that does so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from flanpy.daemon.looks.transit_watch import look
from flanpy.model.transit import Harm
from flanpy.trace.hop import Hop, HopVerdict, Place, Walk
from flanpy.trace.seen import Direction
from flanpy.trace.transit import obstacles, pairs

STATUS = {"network": {"backend_type": "vxlan", "network": "10.50.0.0/16"}, "backend": {"links": []}}


def row(number: int, **more: Any) -> dict[str, Any]:
    state = "own" if number == 1 else "programmed"
    way = "" if number == 1 else "tunnel"
    return {"subnet": f"10.50.{number}.0/24", "state": state, "way": way, "node_id": f"h{number}", **more}


def test_packets_of_a_container_to_a_peers_and_back_are_followed() -> None:
    found = list(pairs(STATUS, {"subnets": [row(1), row(2), row(3)]}))
    mine, theirs = ip_address("10.50.1.2"), ip_address("10.50.2.2")
    assert found == [(mine, theirs), (theirs, mine)]


def test_nothing_is_followed_to_peers_without_a_way_or_without_room_for_containers() -> None:
    assert not list(pairs(STATUS, {"subnets": [row(1), row(2, way="")]}))
    assert not list(pairs(STATUS, {"subnets": [row(1), row(2, subnet="10.50.2.0/30")]}))
    assert not list(pairs(STATUS, {"subnets": [row(2)]}))


DROPPED = Hop(
    Place.FILTER, HopVerdict.DIES, "dropped by nft inet guard, chain forward", ("policy drop",), "accept it"
)
WALK = Walk("10.50.2.2", "10.50.1.2", Direction.OUT, "", (DROPPED,))


def test_a_rule_is_told_once_and_what_is_none_of_the_filters_is_not() -> None:
    hidden = Hop(Place.SOURCE_ADDRESS, HopVerdict.HARMS, "rewritten by nft ip hider", ("masquerade",))
    route = Hop(Place.ROUTE, HopVerdict.DIES, "no route")
    fine = replace(DROPPED, verdict=HopVerdict.PASSES)
    found = list(obstacles([WALK, replace(WALK, hops=(DROPPED, hidden, route, fine))]))
    assert [one.harm for one in found] == [Harm.DROPPED, Harm.SOURCE_HIDDEN]
    assert (found[0].packet, found[0].rule) == ("10.50.1.2 -> 10.50.2.2", "policy drop")


def test_program_answers_about_this_host() -> None:
    found = asyncio.run(look({"status": STATUS, "subnets": {"subnets": [row(1)]}}))
    assert (found.obstacles, found.unread) == ((), "")


def test_program_that_fails_leaves_the_question_open_and_says_why() -> None:
    found = asyncio.run(look({"status": None, "subnets": {}}))
    assert not found.obstacles
    assert "Error" in found.unread
