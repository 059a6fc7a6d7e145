"""The page of etcd's schema: keys, values and their fields, with examples that the code itself wrote."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from docs.generate import markdown
from docs.generate.source import members
from flanpy.backend.registry import BACKENDS
from flanpy.daemon.rotation_turns import TURN_S
from flanpy.model.address import Mac
from flanpy.model.lease import LeaseRecord, RawData, SubnetKey, VxlanData, WireguardData
from flanpy.model.network.config import parse_network_config, render_network_config
from flanpy.model.network.fields import BACKEND_OPTIONS, FIELDS, OPTIONS
from flanpy.model.networks.names import FLAT
from flanpy.model.revocation import Revocation
from flanpy.names.publish import TTL_S
from flanpy.names.records import names_key
from flanpy.store.networks.keys import network_key, slices_prefix
from flanpy.store.revocations import revoked_key
from flanpy.store.rotation import done_key, request_key, turn_key
from flanpy.store.schema import WIRE_NAMES, config_key, encode_record, subnets_prefix

_LEAD = """\
flannel's schema, byte for byte; what is only flanpy's comes last and is ignored by flannel. Everything is below `--etcd-prefix`, here
the default `/coreos.com/network`. flanpyd needs to read and write below it and nothing else, and writes nothing but its own lease.
"""
_PREFIX = "/coreos.com/network"
_KEY = SubnetKey(IPv4Network("10.50.25.0/24"))
_BOTH = SubnetKey(IPv4Network("10.50.25.0/24"), IPv6Network("fd50:1:0:4c::/64"))
_MAC, _OTHER_MAC = Mac.parse("5e:a9:11:3f:00:c2"), Mac.parse("5e:a9:11:3f:00:c3")
_RECORDS = {
    "vxlan": (
        _KEY,
        LeaseRecord(IPv4Address("192.0.2.7"), None, "vxlan", VxlanData(_MAC, 1), None, "3f1c9a7be2d04586"),
    ),
    "vxlan with IPv6": (
        _BOTH,
        LeaseRecord(
            IPv4Address("192.0.2.7"),
            IPv6Address("2001:db8::7"),
            "vxlan",
            VxlanData(_MAC, 1),
            VxlanData(_OTHER_MAC, 1),
            "3f1c9a7be2d04586",
        ),
    ),
    "host-gw": (
        _KEY,
        LeaseRecord(IPv4Address("192.0.2.7"), backend_type="host-gw", node_id="3f1c9a7be2d04586"),
    ),
    "ipip": (
        _KEY,
        LeaseRecord(IPv4Address("192.0.2.7"), backend_type="ipip", node_id="3f1c9a7be2d04586"),
    ),
    "wireguard": (
        _KEY,
        LeaseRecord(
            IPv4Address("192.0.2.7"),
            None,
            "wireguard",
            WireguardData("hPGDGJ+3WeNBhZnEbLQhVg8sTYVEnZi8bGGLW6CN5zA=", 51820),
            node_id="3f1c9a7be2d04586",
        ),
    ),
    "aws-vpc": (
        _KEY,
        LeaseRecord(
            IPv4Address("192.0.2.7"),
            None,
            "aws-vpc",
            RawData('{"Target":"eni-0123456789abcdef0"}'),
            node_id="3f1c9a7be2d04586",
        ),
    ),
    "udp, with the kernel's plane": (
        _KEY,
        LeaseRecord(IPv4Address("192.0.2.7"), node_id="3f1c9a7be2d04586", fast_path=True),
    ),
}
_SUBNET_KEY = """\
The key names the subnet: address, `-`, prefix length. One key stands for one subnet, and is written only if no overlapping one was
created meanwhile."""
_CONFIGS = (
    '{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}',
    (
        '{"EnableIPv6": true, "Network": "10.50.0.0/16", "IPv6Network": "fd50:1::/48", "SubnetLen": 26,'
        ' "Backend": {"Type": "vxlan", "VNI": 7, "Port": 4789, "DirectRouting": true}}'
    ),
)


def page() -> str:
    return markdown.page(
        "Records in etcd",
        _LEAD.strip(),
        markdown.section("Keys", markdown.table(("key", "value", "bound to an etcd lease"), _keys())),
        markdown.section("The network config", *_config()),
        markdown.section("A subnet", *_subnet()),
    )


def _keys() -> list[tuple[str, str, str]]:
    leases = subnets_prefix(_PREFIX)
    return [
        (markdown.code(config_key(_PREFIX)), "the network config, written by `flanpyctl network`", "no"),
        (markdown.code(f"{leases}{_KEY}"), "a host's subnet", "yes; without one it is a reservation"),
        (markdown.code(f"{leases}{_BOTH}"), "the same with an IPv6 subnet", "as above"),
        (
            markdown.code(f"{_PREFIX}/cloud/routes/{_KEY}"),
            "aws-vpc and gce: which host made the provider's route to a subnet, where it leads, and in which tables",
            "no: it outlives its host, and goes with the route",
        ),
        (
            markdown.code(f"{_PREFIX}/cloud/removing/{_KEY}"),
            "aws-vpc and gce: the host that is removing the route to a subnet which no other host leases",
            "yes, of three minutes",
        ),
        (
            markdown.code(network_key(_PREFIX, "shop")),
            "a named network, written by `flanpyctl networks`",
            "no",
        ),
        (
            markdown.code(f"{slices_prefix(_PREFIX, 'shop')}10.96.3.0-24"),
            "the host that has this slice of a named network, as a subnet's record without a backend",
            "no: Docker keeps the range on disk forever, and so the slice stays its host's",
        ),
        (
            markdown.code(revoked_key(_PREFIX, Revocation("n1"))),
            "a host that was shut out, by its node id and the WireGuard keys it had, written by `flanpyctl keys revoke`",
            "no: it stays until `flanpyctl keys allow`",
        ),
        (
            markdown.code(request_key(_PREFIX)),
            "the last `flanpyctl keys rotate --all`: every host changes its WireGuard key once for it",
            "no",
        ),
        (
            markdown.code(turn_key(_PREFIX)),
            "the host whose turn it is",
            f"yes, of {TURN_S} seconds",
        ),
        (
            markdown.code(done_key(_PREFIX, "n1")),
            "the last request that a host has carried out",
            "no",
        ),
        (
            markdown.code(names_key(_PREFIX, "shop", "n1")),
            f"the containers of a host on a network (`{FLAT}`: the overlay), each as name, addresses and aliases",
            f"yes, of {TTL_S} seconds",
        ),
    ]


def _config() -> list[str]:
    rows = [(markdown.code(name), markdown.plain(meaning)) for name, meaning in FIELDS.items()]
    options = [
        (markdown.code(backend), markdown.code(name), markdown.plain(OPTIONS[name]))
        for backend, names in BACKEND_OPTIONS.items()
        if backend in BACKENDS
        for name in names
    ]
    examples = [
        f"{markdown.block(text, 'json')}\n\nmeans, with every default written out:\n\n"
        f"{markdown.as_json(json.loads(render_network_config(parse_network_config(text))))}"
        for text in _CONFIGS
    ]
    return [
        markdown.table(("field", "meaning"), rows),
        markdown.section(
            "Options of the backends", markdown.table(("Type", "option", "meaning"), options), level=3
        ),
        markdown.section("Examples", *examples, level=3),
    ]


def _subnet() -> list[str]:
    told = members("flanpy/store/schema.py", "_Value")
    rows = [(markdown.code(wire), markdown.plain(told[name])) for name, wire in WIRE_NAMES.items()]
    examples = [
        markdown.section(
            title,
            markdown.code(f"{subnets_prefix(_PREFIX)}{key}"),
            markdown.as_json(json.loads(encode_record(record))),
            level=4,
        )
        for title, (key, record) in _RECORDS.items()
    ]
    return [
        _SUBNET_KEY,
        markdown.table(("field", "meaning"), rows),
        markdown.section("Examples of subnets", *examples, level=3),
    ]
