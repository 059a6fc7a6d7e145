"""Two leases contend if one of them could be refused because of the other, and only then."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from flanpy.model.lease import Lease, SubnetKey
from flanpy.plan.contention import contend
from tests.states import DUAL, V6, lease, of_backend

ONE = lease(1)
SIX = lease(1, V6)


def at(subnet: str, public: str | None = "192.0.2.77") -> Lease:
    """A lease with a MAC of its own."""
    made = replace(lease(7), key=SubnetKey(IPv4Network(subnet)))
    address = IPv4Address(public) if public else None
    return replace(made, record=replace(made.record, public_ip=address))


def at6(subnet: str, public: str = "2001:db8::77") -> Lease:
    made = replace(lease(7, V6), key=SubnetKey(None, IPv6Network(subnet)))
    return replace(made, record=replace(made.record, public_ip6=IPv6Address(public)))


CASES: dict[str, tuple[Lease, Lease, bool]] = {
    "subnets apart": (ONE, at("10.50.12.0/24"), False),
    "subnets apart, without an address": (ONE, at("10.50.12.0/24", None), False),
    "the subnet before": (ONE, at("10.50.10.0/24"), False),
    "the same subnet": (ONE, at("10.50.11.0/24"), True),
    "a subnet around it": (ONE, at("10.50.10.0/23"), True),
    "its last address": (ONE, at("10.50.11.255/32"), True),
    "a public address at its start": (ONE, at("10.50.12.0/24", "10.50.11.0"), True),
    "a public address at its end": (ONE, at("10.50.12.0/24", "10.50.11.255"), True),
    "a public address before it": (ONE, at("10.50.12.0/24", "10.50.10.255"), False),
    "a public address after it": (ONE, at("10.50.20.0/24", "10.50.12.0"), False),
    "the same public address": (ONE, at("10.50.12.0/24", "192.0.2.11"), False),
    "the same MAC": (ONE, lease(7, mac="02:00:00:00:00:01"), True),
    "another backend": (ONE, of_backend("host-gw", lease(7)), False),
    "no VTEPs at all": (of_backend("host-gw", ONE), of_backend("host-gw", lease(7)), False),
    "the other family": (ONE, at6("fd50:0:0:b::/64"), False),
    "IPv6 apart": (SIX, at6("fd50:0:0:c::/64"), False),
    "the same IPv6 subnet": (SIX, at6("fd50:0:0:b::/64"), True),
    "an IPv6 public address in it": (SIX, at6("fd50:0:0:c::/64", "fd50:0:0:b::9"), True),
    "the same MAC for IPv6": (SIX, replace(SIX, key=SubnetKey(None, IPv6Network("fd50:0:0:c::/64"))), True),
    "one family of two": (lease(1, DUAL), at6("fd50:0:0:b::/64"), True),
}


@pytest.mark.parametrize("name", CASES)
def test_leases_contend_by_subnet_public_address_or_mac_whichever_comes_first(name: str) -> None:
    one, other, wanted = CASES[name]
    assert contend(one, other) is wanted
    assert contend(other, one) is wanted
