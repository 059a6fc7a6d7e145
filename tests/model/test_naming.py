"""The names of hosts: one each, told apart where two have one, and never another host's identity."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from flanpy.model.host_name import host_name
from flanpy.model.lease import Lease
from flanpy.model.naming import HostNames
from tests.states import lease


def _host(number: int, name: str, node_id: str) -> Lease:
    one = lease(number)
    return replace(one, record=replace(one.record, host_name=name, node_id=node_id))


def _names(*leases: Lease) -> list[str]:
    found = [[HostNames.among(order).of(one) for one in leases] for order in permutations(leases)]
    assert all(one == found[0] for one in found)
    return found[0]


def test_host_goes_by_its_name_and_without_one_by_its_node_id() -> None:
    assert _names(_host(1, "web-1", "aa"), _host(2, "", "bb"), _host(3, "web-3", "")) == ["web-1", "bb", ""]


def test_hosts_of_one_name_are_told_apart_by_their_node_ids() -> None:
    hosts = (_host(1, "web", "aa"), _host(2, "Web", "bb"), _host(3, "db", "cc"))
    assert _names(*hosts) == ["web~aa", "Web~bb", "db"]


def test_leases_of_one_host_share_its_name() -> None:
    assert _names(_host(1, "web", "aa"), _host(2, "web", "aa")) == ["web", "web"]


def test_host_that_takes_the_node_id_of_another_as_its_name_does_not_pass_for_it() -> None:
    assert _names(_host(1, "h2", "aa"), _host(2, "", "h2")) == ["h2~aa", "h2"]


@pytest.mark.parametrize("text", ["web-1", "WEB_1.example.org", "a", "1password", "0x7f"])
def test_host_name_is_taken_as_it_is(text: str) -> None:
    assert host_name(text) == text
