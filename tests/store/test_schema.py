"""The schema of subnet keys and lease values: flannel's bytes, and no exception on anybody's."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flanpy.model.address import Mac
from flanpy.model.lease import InvalidLease, Lease, LeaseRecord, RawData, SubnetKey, VxlanData, WireguardData
from flanpy.store.port import KeyValue
from flanpy.store.schema import UNUSABLE_TOKEN, decode_key, decode_lease, encode_record

PREFIX = "/coreos.com/network/subnets/"
LONG = json.dumps("a" * 254)
VXLAN = (
    b'{"PublicIP":"10.99.0.12","PublicIPv6":null,"BackendType":"vxlan",'
    b'"BackendData":{"VNI":1,"VtepMAC":"42:84:f6:70:e1:f3"}}'
)
FLANNELS_VALUES = [
    VXLAN,
    b'{"PublicIP":"10.99.0.11","PublicIPv6":null}',
    b'{"PublicIP":"10.99.0.11","PublicIPv6":null,"BackendType":"host-gw"}',
    (
        b'{"PublicIP":"10.99.0.11","PublicIPv6":null,"BackendType":"wireguard",'
        b'"BackendData":{"PublicKey":"2mCqQ+6n0M3VxTq3xY8pCz1z9V5nUq4t6yqv0h7x7lQ=","Port":51820}}'
    ),
    (
        b'{"PublicIP":"10.99.0.12","PublicIPv6":"fd99::12","BackendType":"vxlan",'
        b'"BackendData":{"VNI":1,"VtepMAC":"42:84:f6:70:e1:f3"},'
        b'"BackendV6Data":{"VNI":1,"VtepMAC":"3e:2a:19:5e:4c:01"}}'
    ),
]


def decoded(value: bytes, key: str = "10.50.25.0-24", *, lease_id: int = 9) -> Lease | InvalidLease:
    return decode_lease(KeyValue(PREFIX + key, value, 3, 5, 2, lease_id), PREFIX)


def record_of(value: bytes, key: str = "10.50.25.0-24") -> LeaseRecord:
    lease = decoded(value, key)
    assert isinstance(lease, Lease), lease
    return lease.record


@pytest.mark.parametrize("value", FLANNELS_VALUES)
def test_lease_value_is_written_byte_for_byte_as_flannel_does_when_it_has_no_node_id(value: bytes) -> None:
    assert encode_record(record_of(value)) == value


def test_lease_value_carries_the_node_id_last_when_there_is_one() -> None:
    record = LeaseRecord(
        IPv4Address("10.99.0.12"), None, "vxlan", VxlanData(Mac.parse("42:84:f6:70:e1:f3"), 1), None, "n-1"
    )
    assert encode_record(record) == VXLAN[:-1] + b',"NodeID":"n-1"}'
    assert record_of(encode_record(record)) == record


def test_lease_value_carries_the_host_name_behind_what_flannel_reads() -> None:
    """Go matches keys in any case: ours must be none of flannel's."""
    record = LeaseRecord(IPv4Address("10.99.0.12"), node_id="8b59ba4216721489", host_name="web-1.example")
    value = encode_record(record)
    assert record_of(value) == record
    mine = json.loads(value)
    plain = json.loads(encode_record(replace(record, node_id="", host_name="")))
    assert list(mine)[: len(plain)] == list(plain)
    flannels = {"publicip", "publicipv6", "backendtype", "backenddata", "backendv6data"}
    assert {key.lower() for key in mine.keys() - plain.keys()} == {"nodeid", "hostname"}
    assert flannels.isdisjoint({"nodeid", "hostname", "fastpath"})


@pytest.mark.parametrize(
    "name",
    [
        '"a\\u001b[2J"',
        '"a b"',
        '""',
        '"10.0.0.5"',
        '"localhost"',
        '"\\u202eweb"',
        '"a~b"',
        "5",
        "null",
        "[1]",
        LONG,
    ],
)
def test_host_name_that_is_none_is_not_shown_and_costs_the_host_nothing(name: str) -> None:
    value = f'{{"PublicIP":"10.9.0.1","NodeID":"n-1","HostName":{name}}}'
    assert record_of(value.encode()) == LeaseRecord(IPv4Address("10.9.0.1"), node_id="n-1")


def test_token_of_a_lease_stands_last_and_is_no_part_of_what_is_shown_of_it() -> None:
    record = LeaseRecord(
        IPv4Address("10.9.0.1"), node_id="n-1", leaving=True, mesh_token="0f" * 16, without_ipv6=True,
        announced_key=b64encode(bytes(range(32))).decode(),
    )  # fmt: skip
    value = encode_record(record)
    assert record_of(value) == record
    assert list(json.loads(value))[-4:] == ["Leaving", "MeshToken", "WithoutIPv6", "WireguardKey"]
    assert record.mesh_token not in f"{record} {record!r} {record.owner}"


@pytest.mark.parametrize(
    "token", ["5", "[1]", '" "', '"a b"', '"a\\u000d\\u000a"', '"\\u00e9"', LONG, "true"]
)
def test_token_that_nobody_can_send_is_no_leave_for_everybody(token: str) -> None:
    value = f'{{"PublicIP":"10.9.0.1","NodeID":"n-1","MeshToken":{token}}}'
    assert record_of(value.encode()).mesh_token == UNUSABLE_TOKEN
    none = '{"PublicIP":"10.9.0.1","NodeID":"n-1","MeshToken":null}'
    assert record_of(none.encode()).mesh_token == ""


def test_lease_keeps_what_etcd_said_of_its_key_when_read() -> None:
    lease = decoded(VXLAN)
    assert isinstance(lease, Lease)
    assert (str(lease.key), lease.lease_id, lease.create_revision, lease.mod_revision) == (
        "10.50.25.0-24",
        9,
        3,
        5,
    )
    assert not lease.is_reservation


def test_lease_value_is_read_when_fields_are_absent_or_unknown() -> None:
    value = b'{"X":[{}],"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"42:84:f6:70:e1:f3"}}'
    assert record_of(value).backend_data == VxlanData(Mac.parse("42:84:f6:70:e1:f3"), None)


def test_lease_data_of_another_backend_is_kept_as_text_when_read() -> None:
    value = b'{"PublicIP":"10.9.0.1","BackendType":"ipsec","BackendData":{"Any":["thing"]}}'
    assert record_of(value).backend_data == RawData('{"Any":["thing"]}')


def test_public_key_of_a_wireguard_lease_is_read() -> None:
    key = "2mCqQ+6n0M3VxTq3xY8pCz1z9V5nUq4t6yqv0h7x7lQ="
    assert record_of(FLANNELS_VALUES[3]).backend_data == WireguardData(key, 51820)


def test_p29_reservation_for_a_node_is_read_when_it_has_no_public_ip() -> None:
    value = encode_record(LeaseRecord(None, node_id="host-7"))
    assert value == b'{"PublicIP":"0.0.0.0","PublicIPv6":null,"NodeID":"host-7"}'
    lease = decoded(value, lease_id=0)
    assert isinstance(lease, Lease)
    assert lease.record == LeaseRecord(None, node_id="host-7")
    assert isinstance(decoded(value, lease_id=9), InvalidLease)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("10.50.25.0-24", SubnetKey(IPv4Network("10.50.25.0/24"))),
        ("0.0.0.0-0", SubnetKey(IPv4Network("0.0.0.0/0"))),
        (
            "10.50.25.0-24&fd50:1:0:4c::-64",
            SubnetKey(IPv4Network("10.50.25.0/24"), IPv6Network("fd50:1:0:4c::/64")),
        ),
        ("fd50:1:0:4c::-64", SubnetKey(None, IPv6Network("fd50:1:0:4c::/64"))),
    ],
)
def test_subnet_key_means_its_subnets_and_is_written_the_same_when_canonical(
    text: str, key: SubnetKey
) -> None:
    assert decode_key(text) == key
    assert str(key) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "10.50.25.0",
        "10.50.25.0/24",
        "10.50.25.0-33",
        "10.50.25.0-024",
        "010.50.25.0-24",
        "10.50.25.7-24",
        "10.50.256.0-24",
        "10.50.25.0-24&",
        "&fd50::-64",
        "10.50.25.0-24&fd50:0:0:0::-64",
        "10.50.25.0-24&fd50::1-64",
        "10.50.25.0-24&FD50::-64",
        "10.50.25.0-24&fd50::-129",
        "10.50.25.0-24/child",
        "10.50.25.0-24\n",
        "\uff11\uff10.50.25.0-24",
        "fe80::%eth0-64",
        "\udcff\udcfe",
    ],
)
def test_p16_subnet_key_is_refused_with_a_printable_reason_when_it_is_not_canonical(text: str) -> None:
    reason = decode_key(text)
    assert isinstance(reason, str)
    assert reason.isprintable()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"null", "cannot be read"),
        (b'"text"', "cannot be read"),
        (b"{}", "PublicIP is missing"),
        (b'{"PublicIP":"0.0.0.0"}', "PublicIP is missing"),
        (b'{"PublicIP":"999.1.1.1"}', "PublicIP '999.1.1.1' is no IPv4 address"),
        (b'{"PublicIP":"fd50::1"}', "is no IPv4 address"),
        (b'{"PublicIP":7}', "PublicIP"),
        (b'{"PublicIP":"127.0.0.1"}', "127.0.0.1 is no address that another host can reach"),
        (b'{"PublicIP":"169.254.1.1"}', "another host"),
        (b'{"PublicIP":"239.1.1.1"}', "another host"),
        (b'{"PublicIP":"255.255.255.255"}', "another host"),
        (b'{"PublicIP":"10.9.0.1","PublicIPv6":"fe80::1"}', "PublicIPv6 'fe80::1'"),
        (b'{"PublicIP":"10.9.0.1","PublicIPv6":"fd50::1%eth0"}', "PublicIPv6"),
        (b'{"PublicIP":"10.9.0.1","PublicIPv6":"x"}', "PublicIPv6 'x' is no IPv6 address"),
        (b'{"PublicIP":"10.9.0.1","BackendType":"vxlan"}', "BackendData is missing, and with it VtepMAC"),
        (b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":null}', "BackendData is missing"),
        (
            b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VNI":1}}',
            "BackendData has no VtepMAC",
        ),
        (
            b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":[1]}',
            "BackendData '[1]' cannot be read",
        ),
        (b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"zz"}}', "VtepMAC 'zz'"),
        (
            b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"01:00:5e:00:00:01"}}',
            "VtepMAC 01:00:5e:00:00:01 of BackendData is a group address",
        ),
        (
            b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"00:00:00:00:00:00"}}',
            "all zeros",
        ),
        (
            (
                b'{"PublicIP":"10.9.0.1","BackendType":"vxlan",'
                b'"BackendData":{"VNI":99999999999999999999,"VtepMAC":"42:84:f6:70:e1:f3"}}'
            ),
            "BackendData",
        ),
        (
            b'{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{"VNI":-1,"VtepMAC":"42:84:f6:70:e1:f3"}}',
            "VNI -1",
        ),
        (b'{"PublicIP":"10.9.0.1","NodeID":5}', "NodeID"),
        (b'{"PublicIP":"10.9.0.1","NodeID":"a\\u001b[2J"}', "NodeID"),
        (b'{"PublicIP":"10.9.0.1","BackendType":"udp\xff"}', "cannot be read"),
        (b'{"a":' + b"[" * 50_000, "cannot be read"),
        (b'{"PublicIP":"10.9.0.1","More":"' + b"x" * 70_000 + b'"}', "at most 65536"),
    ],
)
def test_p16_lease_is_invalid_and_names_field_and_value_when_its_value_cannot_be_used(
    value: bytes, words: str
) -> None:
    lease = decoded(value)
    assert isinstance(lease, InvalidLease)
    assert words in lease.reason
    assert (lease.key, lease.mod_revision) == ("10.50.25.0-24", 5)
    assert lease.reason.isprintable()
    assert len(lease.reason) < 400


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
_data = _json | st.fixed_dictionaries(
    {}, optional={"VNI": _scalars | st.integers(0, 2**25), "VtepMAC": _scalars | st.just("42:84:f6:70:e1:f3")}
)
_values = st.fixed_dictionaries(
    {},
    optional={
        "PublicIP": st.just("10.9.0.1") | st.ip_addresses(v=4).map(str) | _scalars,
        "PublicIPv6": st.ip_addresses(v=6).map(str) | _scalars,
        "BackendType": st.sampled_from(["vxlan", "udp", ""]) | _scalars,
        "BackendData": _data,
        "BackendV6Data": _data,
        "NodeID": _scalars,
    },
)
_busy = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)


@_busy
@given(st.binary(max_size=80), st.binary(max_size=200))
@example(b"10.50.25.0-24", b"\xff\xfe")
@example(b"10.50.25.0-24", b'{"PublicIP":"\xed\xa0\x80"}')
@example(b"10.50.25.0-24", b'{"PublicIP":"\\ud800"}')
def test_p16_lease_decoding_raises_nothing_when_given_any_bytes(key: bytes, value: bytes) -> None:
    assert isinstance(decoded(value, key.decode("utf-8", "surrogateescape")), Lease | InvalidLease)


@_busy
@given(
    _values,
    st.sampled_from(["10.50.25.0-24", "10.50.25.0-24&fd50::-64", "fd50::-64"]),
    st.sampled_from([0, 9]),
)
def test_lease_means_the_same_when_any_readable_value_is_written_and_read_again(
    value: dict[str, object], key: str, lease_id: int
) -> None:
    lease = decoded(json.dumps(value).encode(), key, lease_id=lease_id)
    again = (
        decoded(encode_record(lease.record), key, lease_id=lease_id) if isinstance(lease, Lease) else lease
    )
    assert again == lease


@_busy
@given(st.text(max_size=40) | st.from_regex(r"\d+\.\d+\.\d+\.\d+-\d+(&[0-9a-f:]+-\d+)?", fullmatch=True))
def test_subnet_key_round_trips_when_any_text_is_accepted(text: str) -> None:
    key = decode_key(text)
    assert isinstance(key, str) or str(key) == text


def test_record_of_an_ipv6_only_host_round_trips_when_written() -> None:
    record = LeaseRecord(None, IPv6Address("fd99::1"), "host-gw")
    assert record_of(encode_record(record), "fd50::-64") == record


@pytest.mark.parametrize("mac", ["42-84-F6-70-E1-F3", "4284.f670.e1f3", "42:84:f6:70:e1:f3"])
def test_mac_is_read_in_every_form_that_go_reads(mac: str) -> None:
    value = f'{{"PublicIP":"10.9.0.1","BackendType":"vxlan","BackendData":{{"VtepMAC":"{mac}"}}}}'
    lease = decode_lease(KeyValue("/s/10.50.1.0-24", value.encode(), 1, 1, 1, 5), "/s/")
    assert isinstance(lease, Lease), lease
    assert lease.record.backend_data == VxlanData(Mac.parse("42:84:f6:70:e1:f3"))


def test_flannels_keys_are_read_in_any_case_as_go_reads_them() -> None:
    value = (
        b'{"publicip":"10.9.0.1","BACKENDTYPE":"vxlan","backenddata":{"vni":3,"vtepmac":"42:84:f6:70:e1:f3"}}'
    )
    lease = decode_lease(KeyValue("/s/10.50.1.0-24", value, 1, 1, 1, 5), "/s/")
    assert isinstance(lease, Lease), lease
    assert lease.record == LeaseRecord(
        IPv4Address("10.9.0.1"),
        backend_type="vxlan",
        backend_data=VxlanData(Mac.parse("42:84:f6:70:e1:f3"), 3),
    )


@pytest.mark.parametrize(
    "value", [b'{"publicip":[[', b'{"publicip":1e999}', b'["publicip":', b'{"publicip":"\xff"}']
)
def test_odd_spelling_in_bad_json_is_an_invalid_lease(value: bytes) -> None:
    assert isinstance(decode_lease(KeyValue("/s/10.50.1.0-24", value, 1, 1, 1, 5), "/s/"), InvalidLease)
