"""The schema of `<prefix>/subnets/`: the translation between etcd's keys and values and our leases.

Owns the text of a subnet key and the JSON of a lease, byte for byte as flannel writes them, with our own fields
(`NodeID` and those after it) put last: flannel ignores what it does not know.
`decode_lease` returns a `Lease` or an `InvalidLease` for any bytes: one bad key must not affect the others (it cost
flannel every peer).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from json import dumps, loads
from typing import Any, Final

import msgspec

from flanpy.model.address import Mac
from flanpy.model.host_name import host_name
from flanpy.model.lease import (
    BackendData,
    InvalidLease,
    Lease,
    LeaseRecord,
    RawData,
    SubnetKey,
    VxlanData,
    WireguardData,
)
from flanpy.store.port import KeyValue
from flanpy.store.unusable import Unusable, shown
from flanpy.store.wireguard_data import public_key, wireguard_data

CONFIG: Final = "/config"
SUBNETS: Final = "/subnets/"

LONGEST_NODE_ID: Final = 253
"""Characters of a node id; that of a host name (RFC 1123)."""

UNUSABLE_TOKEN: Final = " "  # noqa: S105, nobody can send it
"""A token that cannot be one: nobody asks as that host, whereas anybody at its address may where there is none."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,128}", re.ASCII)
"""The characters of a token in an `Authorization: Bearer` header (RFC 6750, 2.1)."""

_LONGEST_TYPE: Final = 63
_OCTET: Final = "(0|[1-9][0-9]{0,2})"
_IP4: Final = r"\.".join([_OCTET] * 4)
_IP4_TEXT: Final = re.compile(_IP4)
_KEY4: Final = re.compile(rf"{_IP4}-(0|[1-9][0-9]?)")
_KEY6: Final = re.compile(r"([0-9a-f:.]{2,45})-(\d{1,3})", re.ASCII)


class _Value(msgspec.Struct):
    """flannel's LeaseAttrs, our node id, and whether we have the UDP backend's in-kernel plane."""

    public_ip: str = msgspec.field(name="PublicIP", default="")
    """the IPv4 address that other hosts send to; 0.0.0.0 if there is none."""
    public_ip6: str | None = msgspec.field(name="PublicIPv6", default=None)
    """the IPv6 address that other hosts send to; null if there is none."""
    backend_type: str = msgspec.field(name="BackendType", default="")
    """what the host is reached by: vxlan, host-gw, ipip, wireguard, extension, aws-vpc, gce; left out by udp, alloc."""
    backend_data: msgspec.Raw = msgspec.field(name="BackendData", default=msgspec.Raw())
    """what the backend needs to know of the host, over IPv4: with vxlan VNI and VtepMAC, the address of its device."""
    backend_data6: msgspec.Raw = msgspec.field(name="BackendV6Data", default=msgspec.Raw())
    """the same over IPv6."""
    node_id: str = msgspec.field(name="NodeID", default="")
    """the host's identity; flanpy only. A lease without it is flannel's."""
    fast_path: bool = msgspec.field(name="FastPath", default=False)
    """the host has the udp backend's plane in the kernel; flanpy only."""
    host_name: Any = msgspec.field(name="HostName", default="")
    """the host's name, for people; flanpy only, and left out where `node-id` is set. No name is not shown."""
    leaving: bool = msgspec.field(name="Leaving", default=False)
    """the host is being drained, and deletes the key next; flanpy only."""
    mesh_token: Any = msgspec.field(name="MeshToken", default="")
    """the proof by which the host asks others what they reach (`/v1/reachability`); random, flanpy only."""
    without_ipv6: bool = msgspec.field(name="WithoutIPv6", default=False)
    """the host's packets have no room for the overlay's IPv6, so that nobody sends it any; flanpy only."""
    announced_key: str | None = msgspec.field(name="WireguardKey", default=None)
    """the host's public key while it moves to Backend wireguard or back, so that it can be heard; flanpy only."""


class _Vxlan(msgspec.Struct):
    mac: str = msgspec.field(name="VtepMAC", default="")
    vni: int | None = msgspec.field(name="VNI", default=None)


WIRE_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(_Value)}
"""Fields of a lease's value by what they are called here."""

_read_value = msgspec.json.Decoder(_Value).decode
_read_vxlan = msgspec.json.Decoder(_Vxlan).decode

# What a decoder may raise on hostile input: wrong JSON or types, bad UTF-8, brackets nested too deeply, odd numbers.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


_FLANNELS: Final = {
    name.lower(): name
    for name in (
        "PublicIP",
        "PublicIPv6",
        "BackendType",
        "BackendData",
        "BackendV6Data",
        "VNI",
        "VtepMAC",
        "PublicKey",
        "Port",
    )
}
"""flannel's own keys, by their lower case."""

_ODDLY_SPELLED: Final = re.compile(
    rb'"(?!(?:%b)")(?i:%b)"\s*:' % ((b"|".join(name.encode() for name in _FLANNELS.values()),) * 2)
)

_OTHER_MAC: Final = re.compile(r"(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")


def config_key(prefix: str) -> str:
    """Return the key of the network config."""
    return prefix.rstrip("/") + CONFIG


def subnets_prefix(prefix: str) -> str:
    """Return the prefix of every subnet key."""
    return prefix.rstrip("/") + SUBNETS


LARGEST_VALUE = 64 << 10
"""Bytes of a lease's value. Those of all backends are below 1 KiB; what is kept of each is kept for thousands."""


def decode_key(text: str) -> SubnetKey | str:
    """Decode the last part of a subnet key (`10.50.25.0-24`), or return the reason in one line why it is invalid.

    Only the one text that flannel and we write for a subnet is accepted, so that a subnet has one key.
    """
    try:
        return _key(text)
    except Unusable as error:
        return str(error)


def decode_lease(kv: KeyValue, prefix: str) -> Lease | InvalidLease:
    """Decode one key below `prefix` (of `subnets_prefix`) as a lease; never raises."""
    text = kv.key.removeprefix(prefix)
    try:
        key = _key(text)
        record = _record(_bounded(kv.value), key, reserved=kv.lease_id == 0)
    except Unusable as error:
        return InvalidLease(text, str(error), kv.mod_revision)
    return Lease(key, record, kv.lease_id, kv.create_revision, kv.mod_revision)


def _bounded(value: bytes) -> bytes:
    if len(value) > LARGEST_VALUE:
        raise Unusable(
            f"value has {len(value)} bytes, where a lease has at most {LARGEST_VALUE}: release the key with"
            " flanpyctl subnets release"
        )
    return value


def encode_record(record: LeaseRecord) -> bytes:
    """Encode the value of a lease, byte for byte as flannel writes it; our own fields come last, if there are any."""
    parts = [
        f'"PublicIP":"{record.public_ip or IPv4Address(0)}"',
        f'"PublicIPv6":{_ip6_json(record.public_ip6)}',
    ]
    if record.backend_type:
        parts.append(f'"BackendType":{_json_text(record.backend_type)}')
    if record.backend_data is not None:
        parts.append(f'"BackendData":{_data_json(record.backend_data)}')
    if record.backend_data6 is not None:
        parts.append(f'"BackendV6Data":{_data_json(record.backend_data6)}')
    if record.node_id:
        parts.append(f'"NodeID":{_json_text(record.node_id)}')
    parts += [f'"{name}":{text}' for name, text in _our_fields(record) if text]
    return f"{{{','.join(parts)}}}".encode()


def _our_fields(record: LeaseRecord) -> Iterator[tuple[str, str]]:
    yield "FastPath", "true" if record.fast_path else ""
    yield "HostName", _json_text(record.host_name) if record.host_name else ""
    yield "Leaving", "true" if record.leaving else ""
    yield "MeshToken", _json_text(record.mesh_token) if record.mesh_token else ""
    yield "WithoutIPv6", "true" if record.without_ipv6 else ""
    yield "WireguardKey", _json_text(record.announced_key) if record.announced_key else ""


def _ip6_json(address: IPv6Address | None) -> str:
    return "null" if address is None else f'"{address}"'


def _data_json(data: BackendData) -> str:
    match data:
        case VxlanData(mac, None):
            return f'{{"VtepMAC":"{mac}"}}'
        case VxlanData(mac, vni):
            return f'{{"VNI":{vni},"VtepMAC":"{mac}"}}'
        case WireguardData(key, None):
            return f'{{"PublicKey":"{key}"}}'
        case WireguardData(key, port):
            return f'{{"PublicKey":"{key}","Port":{port}}}'
        case RawData(json):
            return json


def _json_text(text: str) -> str:
    return dumps(text)


@lru_cache(maxsize=8192)
def _key(text: str) -> SubnetKey:
    text4, ampersand, text6 = text.partition("&")
    if ampersand:
        key = SubnetKey(_subnet4(text4), _subnet6(text6))
    elif ":" in text:
        key = SubnetKey(None, _subnet6(text))
    else:
        return SubnetKey(_subnet4(text))  # its pattern takes the canonical text only
    if str(key) != text:
        raise Unusable(f"key {shown(text)} is not written as {key}")
    return key


def _subnet4(text: str) -> IPv4Network:
    match = _KEY4.fullmatch(text)
    if match is None:
        raise Unusable(f"key {shown(text)} is no subnet like 10.50.25.0-24")
    try:
        return IPv4Network((_number4(match), int(match[5])))
    except ValueError as error:
        raise Unusable(f"key {shown(text)} is no subnet: {error}") from error


def _number4(match: re.Match[str]) -> int:
    """Parse an IPv4 address as a number; twice as fast as by way of `ipaddress`, and every peer passes here twice."""
    a, b, c, d = int(match[1]), int(match[2]), int(match[3]), int(match[4])
    if a | b | c | d > 255:
        raise ValueError("an octet is above 255")
    return a << 24 | b << 16 | c << 8 | d


def _subnet6(text: str) -> IPv6Network:
    match = _KEY6.fullmatch(text)
    if match is None:
        raise Unusable(f"key {shown(text)} is no subnet like fd50:1:0:4c::-64")
    try:
        return IPv6Network((int(IPv6Address(match[1])), int(match[2])))
    except ValueError as error:
        raise Unusable(f"key {shown(text)} is no subnet: {error}") from error


def _as_go_reads(raw: bytes, names: Mapping[str, str]) -> bytes:
    """Return the JSON object with keys in flannel's spelling: Go's decoder matches them in any case, ours does not."""

    def spelled(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return {names.get(name.lower(), name): value for name, value in pairs}

    return dumps(loads(raw, object_pairs_hook=spelled)).encode()


def _record(raw: bytes, key: SubnetKey, *, reserved: bool) -> LeaseRecord:
    try:
        value = _read_value(_as_go_reads(raw, _FLANNELS) if _ODDLY_SPELLED.search(raw) else raw)
    except _UNREADABLE as error:
        raise Unusable(f"value {shown(raw)} cannot be read: {shown(str(error), quoted=False)}") from error
    record = LeaseRecord(
        _public_ip(value.public_ip),
        _public_ip6(value.public_ip6),
        _backend_type(value.backend_type),
        _data("BackendData", value.backend_type, bytes(value.backend_data)),
        _data("BackendV6Data", value.backend_type, bytes(value.backend_data6)),
        _node_id(value.node_id),
        value.fast_path,
        host_name(value.host_name),
        value.leaving,
        _mesh_token(value.mesh_token),
        value.without_ipv6,
        public_key("WireguardKey", value.announced_key) if value.announced_key else "",
    )
    _check_whole(record, key, reserved=reserved)
    return record


def _check_whole(record: LeaseRecord, key: SubnetKey, *, reserved: bool) -> None:
    if record.public_ip is None and record.public_ip6 is None and not (reserved and record.node_id):
        raise Unusable("PublicIP is missing")
    if record.backend_type == "vxlan":
        if key.subnet is not None and record.backend_data is None:
            raise Unusable("BackendData is missing, and with it VtepMAC")
        if key.subnet is None and record.backend_data6 is None:
            raise Unusable("BackendV6Data is missing, and with it VtepMAC")
    elif record.backend_type == "wireguard" and record.backend_data is None and record.backend_data6 is None:
        raise Unusable("BackendData is missing, and with it PublicKey")


def _public_ip(text: str) -> IPv4Address | None:
    """Parse a public address, None if absent; flannel writes 0.0.0.0 where there is none."""
    if not text:
        return None
    match = _IP4_TEXT.fullmatch(text)
    try:
        number = _number4(match) if match else -1
        address = IPv4Address(number)
    except ValueError as error:
        raise Unusable(f"PublicIP {shown(text)} is no IPv4 address") from error
    # 127/8, 169.254/16, 224/4 and above: no host can be reached there from another.
    if number >> 24 == 127 or number >> 16 == 0xA9FE or number >> 28 >= 0xE:
        raise Unusable(f"PublicIP {address} is no address that another host can reach")
    return address if number else None


def _public_ip6(text: str | None) -> IPv6Address | None:
    if not text:
        return None
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise Unusable(f"PublicIPv6 {shown(text)} is no IPv6 address") from error
    if address.scope_id is not None or address.is_loopback or address.is_link_local or address.is_multicast:
        raise Unusable(f"PublicIPv6 {shown(text)} is no address that another host can reach")
    return address if int(address) else None


def _data(field: str, backend_type: str, raw: bytes) -> BackendData | None:
    if raw in (b"", b"null"):
        return None
    if backend_type == "vxlan":
        return _vxlan(field, raw)
    if backend_type == "wireguard":
        return wireguard_data(field, raw)
    try:
        return RawData(raw.decode())
    except UnicodeDecodeError as error:
        raise Unusable(f"{field} {shown(raw)} is not UTF-8") from error


def _vxlan(field: str, raw: bytes) -> VxlanData:
    try:
        data = _read_vxlan(raw)
    except _UNREADABLE as error:
        raise Unusable(f"{field} {shown(raw)} cannot be read: {shown(str(error), quoted=False)}") from error
    if not data.mac:
        raise Unusable(f"{field} has no VtepMAC")
    try:
        mac = Mac.parse(_with_colons(data.mac))
    except ValueError as error:
        raise Unusable(f"VtepMAC {shown(data.mac)} of {field} is no MAC address") from error
    if not mac.is_unicast:
        raise Unusable(f"VtepMAC {mac} of {field} is a group address or all zeros")
    if data.vni is not None and not 0 <= data.vni < 1 << 24:
        raise Unusable(f"VNI {shown(str(data.vni), quoted=False)} of {field} is not within 24 bits")
    return VxlanData(mac, data.vni)


def _with_colons(mac: str) -> str:
    """Return a MAC in the form with colons; Go's ParseMAC takes `02-00-5e-10-00-01` and `0200.5e10.0001` as well."""
    if not _OTHER_MAC.fullmatch(mac):
        return mac
    digits = mac.replace("-", "").replace(".", "")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _backend_type(text: str) -> str:
    if len(text) > _LONGEST_TYPE or not text.isprintable():
        raise Unusable(f"BackendType {shown(text)} is no word: printable, at most {_LONGEST_TYPE} characters")
    return text


def _node_id(text: str) -> str:
    if len(text) > LONGEST_NODE_ID or not text.isprintable():
        raise Unusable(f"NodeID {shown(text)} is no name: printable, at most {LONGEST_NODE_ID} characters")
    return text


def _mesh_token(found: object) -> str:
    if found == "" or found is None:
        return ""
    fits = isinstance(found, str) and _TOKEN.fullmatch(found) is not None
    return str(found) if fits else UNUSABLE_TOKEN
