"""Everything that reads what strangers wrote, as functions of octets: they raise where it is not read as it must be.

Coverage-guided fuzzing (`python -m tests.hostile.fuzz`, a dev tool) drives them, and the tests replay `SEEDS` and what
was found. A function here must judge what comes out, not only survive it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from tempfile import gettempdir

from flanpy.backend.registry import validate_network
from flanpy.docker.merge import merge, settings_in
from flanpy.docker.wanted import Wanted
from flanpy.errors import FlanpyError
from flanpy.host import state_file, subnet_env, tunnel_file
from flanpy.host.absent import Absent
from flanpy.host.extension import ExtensionPart
from flanpy.model.address import Family
from flanpy.model.lease import InvalidLease, SubnetKey
from flanpy.model.network.config import parse_network_config
from flanpy.page.gate import PageGate
from flanpy.probe import packet
from flanpy.probe.rows import mesh_rows, read_document
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_key, decode_lease, encode_record
from flanpy.udp.forwarder.packet import VNET
from tests.hostile.host_targets import HOST_FOUND, HOST_TARGETS
from tests.hostile.http_targets import HTTP_FOUND, HTTP_TARGETS
from tests.hostile.names_targets import NAMES_TARGETS
from tests.hostile.nft_targets import NFT_FOUND, NFT_TARGETS
from tests.hostile.texts import assert_sayable
from tests.udp.forwarder.test_hostile import OWN, PEERS, bench, inner, is_whole, superpacket

PREFIX = "/coreos.com/network/subnets/"
KEYS = ("10.50.7.0-24", "10.50.7.0-24&fd50::-64", "fd50::-64")
WANTED = Wanted(
    network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network("10.50.7.0/24"), mtu=1450, masquerade=True
)


def lease_key(octets: bytes) -> None:
    """Check that a text taken for a subnet's key is written as it was read."""
    text = octets.decode(errors="replace")
    found = decode_key(text)
    if isinstance(found, str):
        assert_sayable(found)
        return
    assert isinstance(found, SubnetKey)
    assert_sayable(str(found))
    assert "/" not in str(found)
    assert decode_key(str(found)) == found


def lease_value(octets: bytes) -> None:
    """The first octet chooses the key."""
    key = KEYS[octets[0] % len(KEYS)] if octets else KEYS[0]
    found = decode_lease(KeyValue(PREFIX + key, octets[1:], 1, 2, 1, 7), PREFIX)
    if isinstance(found, InvalidLease):
        assert_sayable(found.reason)
        return
    assert_sayable(found.record.node_id)
    assert_sayable(found.record.backend_type)
    again = decode_lease(KeyValue(PREFIX + key, encode_record(found.record), 1, 2, 1, 7), PREFIX)
    assert not isinstance(again, InvalidLease), again
    assert again.record == found.record, "what was read and written back is another"


def network_config(octets: bytes) -> None:
    """A network, or an error in one line."""
    try:
        network = parse_network_config(octets)
        for warning in network.warnings:
            assert_sayable(warning)
        validate_network(network)
    except FlanpyError as error:
        assert_sayable(str(error))


def subnet_file(octets: bytes) -> None:
    """Check that a file that is read is written so that it is read again as the same."""
    found = subnet_env.parse(octets.decode(errors="replace"))
    if isinstance(found, Absent):
        assert_sayable(found.reason)
        return
    again = subnet_env.parse(str(found))
    assert again == found or found.mtu < 0 or _odd(found), (found, again)


def _odd(env: subnet_env.SubnetEnv) -> bool:
    """A family of which only one half was there, or a subnet without a first host."""
    halves = ((env.network, env.subnet), (env.ipv6_network, env.ipv6_subnet))
    return any((one is None) != (other is None) for one, other in halves) or any(
        subnet is not None and subnet.prefixlen >= subnet.max_prefixlen
        for subnet in (env.subnet, env.ipv6_subnet)
    )


def kept_files(octets: bytes) -> None:
    """Each of the files that a start reads."""
    directory = Path(gettempdir()) / "flanpy-fuzz"
    directory.mkdir(exist_ok=True)
    for name in (state_file.FILE_NAME, tunnel_file.FILE_NAME, "extension.json"):
        (directory / name).write_bytes(octets)
    found = state_file.load(directory, node_id="n1")
    if isinstance(found, Absent):
        assert_sayable(found.reason.replace(str(directory), ""))
    tunnel_file.TunnelFile(directory).load()
    ExtensionPart(directory)


def daemon_json(octets: bytes) -> None:
    """Read or refused; what is merged is JSON that says what we want."""
    try:
        settings_in(octets, "daemon.json")
        merged = merge(octets, WANTED, name="daemon.json")
    except FlanpyError as error:
        assert_sayable(str(error))
        return
    json.loads(merged.content)


def probe_datagram(octets: bytes) -> None:
    """The first octet chooses the family and whether a header comes first."""
    mode = octets[0] if octets else 0
    family = Family.IPV6 if mode & 1 else Family.IPV4
    sender = IPv6Address("fd50::1") if mode & 1 else IPv4Address("10.50.7.0")
    found = packet.read(family, octets[1:], sender, with_header=bool(mode & 2))
    assert found is None or b"FLPy" in octets
    if found is not None:
        assert 0 <= found.probe.interval < 10_000


def mesh_document(octets: bytes) -> None:
    """Check another host's report on its peers."""
    found = read_document(octets)
    if found is not None:
        for row in mesh_rows(found, sender="n1", names={"10.50.7.0-24": "n7"}):
            assert row["to"] == "n7"
            assert_sayable(json.dumps(row))


def page_host(octets: bytes) -> None:
    """The Host header: only this host's own names are known to a page on loopback."""
    text = octets.decode("utf-8", "surrogateescape")
    if PageGate(loopback=True).knows_host(text):
        assert any(name in text.lower() for name in ("localhost", "127.", "[::1]", "::1")), ascii(text)


def udp_datagram(octets: bytes) -> None:
    """Datagrams from the underlay, with lengths of two octets each before them."""
    with bench() as b:
        sent = _pieces(octets)
        for text in sent:
            b.peer.sendto(text, b.address)
        b.receiver.drain()
        found = [written[VNET.size :] for written in b.written()]
        assert all(map(is_whole, found))
        assert all(IPv4Address(one[12:16]) in PEERS and IPv4Address(one[16:20]) in OWN for one in found)


def udp_packet(octets: bytes) -> None:
    """Packets from the device, with lengths of two octets each before them."""
    with bench() as b:
        for text in _pieces(octets):
            if text:
                b.device.send(text)
        b.transmitter.drain()
        found = b.sent()
        assert all(map(is_whole, found))
        assert all(IPv4Address(one[16:20]) in PEERS for one in found)


def _pieces(octets: bytes, most: int = 16) -> list[bytes]:
    pieces: list[bytes] = []
    while octets and len(pieces) < most:
        size = int.from_bytes(octets[:2], "big") % 2000
        pieces.append(octets[2 : 2 + size])
        octets = octets[2 + size :]
    return pieces


def _framed(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(2, "big") + text for text in texts)


_VALUE = (
    b'{"PublicIP":"192.0.2.9","PublicIPv6":null,"BackendType":"vxlan",'
    b'"BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:09"},"NodeID":"n9"}'
)
_LEASE_FILE = (
    b'{"version":1,"subnet":"10.50.7.0/24","subnet6":null,"lease_id":7,"revision":9,"node_id":"n1",'
    b'"network_config":"{}","public_ip":"192.0.2.1","public_ip6":null,"saved_at":1.5}'
)
_CONFIG = (
    b'{"Network":"10.50.0.0/16","SubnetLen":24,"Backend":{"Type":"vxlan","VNI":1,"Port":8472,"MTU":1450}}'
)
_PROBE = packet.request(Family.IPV4, packet.Probe(1, 2, hears=True, interval=10))
_MESH = (
    b'{"at":1.0,"rows":[{"subnet":"10.50.7.0-24","reach":"reachable","trouble":"","rtt_ms":0.2,"loss":0}]}'
)

TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "lease_key": (lease_key, (*(key.encode() for key in KEYS), b"../../../etc/passwd")),
    "lease_value": (lease_value, (b"\0" + _VALUE, b"\1" + _VALUE, b"\0[")),
    "network_config": (
        network_config,
        (_CONFIG, b'{"EnableIPv6":true,"IPv6Network":"fd50::/48","Backend":{"Type":"host-gw"}}'),
    ),
    "subnet_file": (
        subnet_file,
        (
            b"FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
        ),
    ),
    "kept_files": (
        kept_files,
        (_LEASE_FILE, b'[["flannel0","10.50.1.0/24","192.0.2.1",true]]', b'{"printed":null,"ran":[]}'),
    ),
    "daemon_json": (
        daemon_json,
        (b'{"bip": "10.1.2.1/24", "mtu": 1500}\n', b'{ "live-restore": true, "hosts": [] }'),
    ),
    "probe_datagram": (
        probe_datagram,
        (b"\0" + _PROBE, b"\2" + b"\x45" + bytes(19) + _PROBE, b"\1" + _PROBE),
    ),
    "mesh_document": (mesh_document, (_MESH,)),
    "page_host": (page_host, (b"localhost:8474", b"127.0.0.1", b"[::1]:8474", b"evil.example")),
    "udp_datagram": (udp_datagram, (_framed(bytes(inner())), _framed(bytes(inner()), bytes(inner(ttl=1))))),
    "udp_packet": (udp_packet, (_framed(superpacket(100)), _framed(superpacket(65535), superpacket(1)))),
    **HOST_TARGETS,
    **HTTP_TARGETS,
    **NAMES_TARGETS,
    **NFT_TARGETS,
}
"""Each with what it is begun with."""

FOUND: dict[str, tuple[bytes, ...]] = {
    **HOST_FOUND,
    **HTTP_FOUND,
    **NFT_FOUND,
    "kept_files": (_LEASE_FILE.replace(b"1.5", b"1" + b"0" * 400),),
}
"""What fuzzing found, by target: each was wrong once."""
