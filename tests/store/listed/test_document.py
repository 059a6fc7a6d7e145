"""The list of hosts: what is read, what is refused and how; a cluster's export is read as that cluster."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.errors import ListRefused
from flanpy.model.address import Mac
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey, VxlanData
from flanpy.store.listed.document import LARGEST_DOCUMENT, read_list, write_list

NETWORK = {"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": 7}}
DUAL = {**NETWORK, "EnableIPv6": True, "IPv6Network": "fd50:1::/48"}
ONE = {"name": "web-1", "subnet": "10.50.1.0/24", "address": "192.0.2.1"}
TWO = {"name": "web-2", "subnet": "10.50.2.0/24", "address": "192.0.2.2", "mac": "02:00:00:00:00:02"}


def document(*hosts: object, network: object = None, **more: object) -> bytes:
    return json.dumps({"network": network or NETWORK, "hosts": hosts, **more}).encode()


def test_each_host_is_a_reservation_with_a_mac_that_follows_from_its_name() -> None:
    listed = read_list(document(ONE, TWO))
    one, two = listed.hosts
    assert json.loads(listed.config) == NETWORK
    assert str(one.key) == "10.50.1.0-24"
    assert one.record.backend_data == VxlanData(Mac.derived("web-1/7/IPV4"), 7)
    assert two.record.backend_data == VxlanData(Mac.parse("02:00:00:00:00:02"), 7)
    assert two.is_at({IPv4Address("192.0.2.2")})
    assert not two.is_at({IPv4Address("192.0.2.1")})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b'{"network": {},\n "hosts": [}', "line 2, column 12: Expecting value"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"hosts": []}', "missing required field `network`"),
        (document(ONE, host=1), "unknown field `host`"),
        (document({**ONE, "adress": "192.0.2.9"}), "unknown field `adress` - at `$.hosts[0]`"),
        (document({**ONE, "name": " "}), "host ' ': a name has 1 to 253 printable characters"),
        (document({**ONE, "name": "a\nb"}), "host 'a\\nb': a name has"),
        (document({"name": "a", "address": "192.0.2.1"}), "host 'a': subnet is missing, a part of the network's"),
        (document({**ONE, "subnet": "10.50.1.1/24"}), "'10.50.1.1/24' is no subnet: 10.50.1.1/24 has host bits set"),
        (document({**ONE, "subnet": "10.51.1.0/24"}), "10.51.1.0/24 is no part of the network's 10.50.0.0/16"),
        (document({**ONE, "subnet": "10.50.0.0/16"}), "10.50.0.0/16 is no part of the network's 10.50.0.0/16"),
        (document({**ONE, "subnet": "fd50::/64"}), "subnet fd50::/64 is of a family that the network lacks"),
        (document({**ONE, "subnet6": "fd50::/64"}), "subnet6 fd50::/64 is of a family that the network lacks"),
        (document({**ONE, "address": "web"}), "address 'web' is no address"),
        (document({**ONE, "address": "2001:db8::1"}), "address 2001:db8::1 is of the other family"),
        (document({**ONE, "address": "127.0.0.1"}), "127.0.0.1 is no address that another host can reach"),
        (document({"name": "a", "subnet": "10.50.1.0/24"}), "PublicIP is missing"),
        (document({**ONE, "mac": "x"}), "'x' is no MAC address"),
        (document({**ONE, "mac": "01:00:00:00:00:01"}), "01:00:00:00:00:01"),
        (document(ONE, {**TWO, "name": "web-1"}), "hosts 10.50.1.0-24 and 10.50.2.0-24 are both web-1"),
        (document(ONE, {**TWO, "address": "192.0.2.1"}), "are both 192.0.2.1"),
        (
            document(ONE, {**TWO, "subnet": "10.50.0.0/23"}),
            "the subnets of hosts 'web-2' (10.50.0.0-23) and 'web-1' (10.50.1.0-24) overlap",
        ),
        (document(ONE, network={"Network": "10.50.0.0/33"}), "network: "),
        (document(ONE, network={"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": -1}}), "network: "),
        (b" " * (LARGEST_DOCUMENT + 1), f"more than {LARGEST_DOCUMENT}"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name_value_and_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ListRefused) as refused:
        read_list(text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda value: document(value).replace(b'"network"', b'"network" ')
))  # fmt: skip
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with suppress(ListRefused):
        read_list(text)


def lease(number: int, **record: Any) -> Lease:
    key = SubnetKey(IPv4Network(f"10.50.{number}.0/24"), IPv6Network(f"fd50:1:0:{number}::/64"))
    data = {"backend_data": VxlanData(Mac(bytes([2, 0, 0, 0, 0, number])), 7),
            "backend_data6": VxlanData(Mac.derived(f"web-{number}/7/IPV6"), 7)}  # fmt: skip
    known = LeaseRecord(
        IPv4Address(f"192.0.2.{number}"), IPv6Address(f"2001:db8::{number}"), "vxlan", **{**data, **record}
    )
    return Lease(key, known)


def test_export_is_read_as_the_cluster_that_it_was_made_of() -> None:
    leases = [
        lease(2, node_id="n2", host_name="web-2"),
        lease(1, node_id="n1", host_name="web-1"),
        lease(3, node_id="n3", host_name="same"),
        lease(4, node_id="n4", host_name="same"),
        lease(5),
    ]
    text = write_list(json.dumps(DUAL).encode(), leases)
    listed = read_list(text.encode())
    assert [host.name for host in listed.hosts] == ["web-1", "web-2", "n3", "n4", "192.0.2.5"]
    by_key = {one.key: one.record for one in leases}
    for host in listed.hosts:
        known = by_key[host.key]
        assert (host.record.public_ip, host.record.public_ip6) == (known.public_ip, known.public_ip6)
        assert (host.record.backend_data, host.record.backend_data6) == (
            known.backend_data,
            known.backend_data6,
        )
    assert text.count('"mac6"') == 3, "what follows from the name is not written"
    assert text.count("\n") == 10, "one line a host"
