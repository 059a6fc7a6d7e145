"""The planner of cloud backends: options, leases, and when a lease may say that this host is reached so."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.backend.cloud import cloud_plan, read_options, stands, target_of, wanted
from flanpy.backend.registry import backend_for, validate_network
from flanpy.errors import ConfigError
from flanpy.model.cloud import (
    AWS,
    GCE,
    CloudHere,
    CloudHost,
    CloudRecord,
    CloudRoute,
    CloudTable,
    CloudVerb,
    CloudWanted,
)
from flanpy.model.lease import LeaseRecord, RawData
from flanpy.model.network.config import parse_network_config
from tests.states import WORLDS, as_backend

SUBNET = IPv4Network("10.50.5.0/24")
WANTED = CloudWanted(AWS, "h1", IPv4Network("10.50.0.0/16"), 24, subnet=SUBNET, settled=True, judges=True)
HOST = CloudHost("eni-1", "vpc/subnet")


@pytest.mark.parametrize(
    ("value", "tables"),
    [(None, ()), ("", ()), ("rtb-1", ("rtb-1",)), (["rtb-1", "rtb-2", "rtb-1"], ("rtb-1", "rtb-2"))],
)
def test_route_tables_are_flannels_one_id_or_a_list(value: object, tables: tuple[str, ...]) -> None:
    assert read_options(AWS, {} if value is None else {"routetableid": value}).tables == tables


@pytest.mark.parametrize("value", [7, ["rtb-1", 2], [], "main", {"a": 1}, [f"rtb-{n}" for n in range(51)]])
def test_route_tables_that_cannot_be_are_one_clear_error(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Backend\.RouteTableID of aws-vpc"):
        read_options(AWS, {"routetableid": value})


@pytest.mark.parametrize("name", ["aws-vpc", "gce"])
def test_ipv6_is_refused_with_what_would_do(name: str) -> None:
    text = f'{{"Network":"10.50.0.0/16","EnableIPv6":true,"IPv6Network":"fd50::/48","Backend":{{"Type":"{name}"}}}}'
    with pytest.raises(ConfigError, match="carries IPv4 only"):
        validate_network(parse_network_config(text))
    assert backend_for(name) is not None


@pytest.mark.parametrize(
    ("json", "target"),
    [('{"Target":"eni-1"}', "eni-1"), ('{"Target":7}', ""), ("[]", ""), ("nonsense", ""), ("[" * 9999, "")],
)
def test_target_of_a_lease_is_text_or_nothing(json: str, target: str) -> None:
    assert target_of(LeaseRecord(IPv4Address("10.99.0.1"), None, AWS, RawData(json))) == target
    assert target_of(LeaseRecord(IPv4Address("10.99.0.1"), None, "extension", RawData(json))) == ""


def _table(*routes: CloudRoute) -> CloudTable:
    return CloudTable("rtb-1", routes, len(routes), 50, own=True)


def test_routes_to_anything_but_one_hosts_subnet_are_never_touched() -> None:
    alien = [
        CloudRoute("rtb-1", IPv4Network(text), "eni-9", dead=True)
        for text in ("0.0.0.0/0", "10.50.0.0/16", "10.50.7.0/25", "10.51.7.0/24", "10.40.0.0/13")
    ]
    plan = cloud_plan(WANTED, HOST, (_table(*alien),), {})
    assert [op.verb for op in plan.ops] == [CloudVerb.CREATE]
    assert (plan.stale, plan.unknown, plan.foreign) == ((), (), ())


def test_stale_route_without_proof_is_only_told_and_one_that_overlaps_a_lease_is_none() -> None:
    route = CloudRoute("rtb-1", IPv4Network("10.50.7.0/24"), "eni-9")
    assert cloud_plan(WANTED, HOST, (_table(route),), {}).unknown == (route,)
    records = {route.destination: CloudRecord("eni-9", "h9")}
    assert cloud_plan(WANTED, HOST, (_table(route),), records).stale == (route,)
    wide = replace(WANTED, leased=frozenset({IPv4Network("10.50.6.0/23")}))
    assert cloud_plan(wide, HOST, (_table(route),), records).stale == ()
    to_gateway = replace(route, target="")
    assert cloud_plan(WANTED, HOST, (_table(to_gateway),), records).unknown == (to_gateway,)


def test_backend_stands_once_the_route_of_our_own_subnet_does() -> None:
    world = as_backend(AWS, WORLDS["three hosts"])
    assert world.own is not None
    subnet = world.own.key.subnet
    assert not stands(world)
    assert not stands(replace(world, clouds=(CloudHere(AWS, "eni-1", SUBNET),)))
    assert not stands(replace(world, clouds=(CloudHere("gce", "eni-1", subnet), CloudHere(AWS, "eni-1"))))
    assert stands(replace(world, clouds=(CloudHere("gce", "h1"), CloudHere(AWS, "eni-1", subnet))))
    assert stands(as_backend("host-gw", world))


def test_what_is_asked_of_the_provider_follows_from_the_world() -> None:
    world = as_backend(AWS, WORLDS["three hosts"])
    asked = wanted(world, AWS)
    assert asked is not None
    assert asked.subnet == (world.own.key.subnet if world.own else None)
    assert asked.judges
    stale = replace(world, view=replace(world.view, stale=True))
    assert (w := wanted(stale, AWS)) is not None
    assert (w.judges, w.settled) == (False, False)
    elsewhere = as_backend("host-gw", world)
    assert wanted(elsewhere, AWS) is None
    assert wanted(world, GCE) is None
    left = wanted(elsewhere, AWS, CloudHere(AWS, "eni-1", SUBNET))
    assert left is not None
    assert (left.subnet, left.backend) == (None, AWS)
