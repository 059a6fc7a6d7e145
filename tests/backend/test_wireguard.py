"""The wireguard backend: its objects, what its lease says, its options, its lines, and that no secret stands in any."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network

import pytest

from flanpy.backend.registry import validate_network
from flanpy.backend.wireguard import WireguardBackend, read_options, shared_key
from flanpy.errors import ConfigError
from flanpy.model.address import Family
from flanpy.model.lease import InvalidLease, Lease, WireguardData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import Address, KernelObject, LinkSysctl, LinkUp, OtherLink, Route
from flanpy.model.ops import Delete, Put
from flanpy.model.wireguard import WgDevice, WgPeer, WireguardLink, digest, written
from flanpy.model.world import World
from flanpy.plan.admission import admit
from flanpy.plan.contention import contend
from flanpy.plan.desired import plan_all
from flanpy.plan.diff import diff, objects_by_key
from flanpy.plan.ownership import Observed, split
from flanpy.plan.render import render
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_lease, encode_record
from tests.states import DUAL, FACTS, V4, V6, as_backend, crowd, lease, moved, options, view

BACKEND = WireguardBackend()
PSK = written(bytes(range(32)))


def key(number: int) -> str:
    """The public key of a host."""
    return written(bytes([number + 1]) * 32)


def _with_key(one: Lease, number: int, *, port: int | None = 51820) -> Lease:
    said = WireguardData(key(number), port)
    record = replace(
        one.record, backend_data=said, backend_data6=said if one.key.subnet6 is not None else None
    )
    return replace(one, record=record)


def _world(count: int, network: NetworkConfig = V4, **given: object) -> World:
    """Our host and its peers, each with a key."""
    one = as_backend("wireguard", crowd(count, options(network, **given)))
    assert one.own is not None
    leases = [_with_key(each, number) for number, each in enumerate(one.view.leases.values())]
    return replace(
        one,
        own=_with_key(one.own, 0),
        view=view(leases),
        policy=replace(one.policy, wireguard_key=key(0)),
    )


def _objects(world: World) -> list[KernelObject]:
    planner = BACKEND.planner(world)
    assert planner is not None
    return list(plan_all(planner, (), admit(world).peers).values())


ONE = _world(1)
PEER = WgPeer("flannel-wg", key(1), IPv4Address("192.0.2.11"), 51820, (IPv4Network("10.50.11.0/24"),))


def test_device_stands_as_flannels_and_each_peer_has_its_key_its_host_and_its_subnet() -> None:
    assert _objects(ONE) == [
        WireguardLink("flannel-wg", 1420),
        WgDevice("flannel-wg", key(0), 51820),
        LinkSysctl(Family.IPV4, "flannel-wg", "rp_filter", "2"),
        LinkSysctl(Family.IPV4, "flannel-wg", "proxy_arp", "0"),
        LinkSysctl(Family.IPV4, "flannel-wg", "forwarding", "1"),
        Address("flannel-wg", IPv4Interface("10.50.10.0/32")),
        LinkUp("flannel-wg"),
        PEER,
        Route(IPv4Network("10.50.11.0/24"), "flannel-wg"),
    ]
    assert BACKEND.links(ONE) == frozenset({"flannel-wg"})
    assert BACKEND.mtu(ONE) == 1420


def test_each_family_has_its_own_device_and_port_with_the_same_key() -> None:
    found = _objects(_world(1, DUAL))
    assert [(obj.link, obj.public_key, obj.port) for obj in found if isinstance(obj, WgDevice)] == [
        ("flannel-wg", key(0), 51820),
        ("flannel-wg-v6", key(0), 51821),
    ]
    peers = [obj for obj in found if isinstance(obj, WgPeer)]
    assert [(peer.endpoint, peer.allowed) for peer in peers] == [
        (IPv4Address("192.0.2.11"), (IPv4Network("10.50.11.0/24"),)),
        (IPv6Address("2001:db8::b"), (IPv6Network("fd50:0:0:b::/64"),)),
    ]
    assert [obj.link for obj in _objects(_world(1, V6)) if isinstance(obj, WgDevice)] == ["flannel-wg-v6"]


@pytest.mark.parametrize(("said", "port"), [(51999, 51999), (None, 7000)])
def test_peer_without_a_port_in_its_lease_has_ours_as_flannels_older_hosts_do(
    said: int | None, port: int
) -> None:
    seen = _world(1, listenport=7000)
    peer = _with_key(lease(1), 1, port=said)
    planner = BACKEND.planner(seen)
    assert planner is not None
    (found, _) = planner.peer(replace(peer, record=replace(peer.record, backend_type="wireguard")))
    assert isinstance(found, WgPeer)
    assert found.port == port


@pytest.mark.parametrize(
    ("mode", "endpoint"),
    [
        ("auto", IPv4Address("192.0.2.11")),
        ("ipv4", IPv4Address("192.0.2.11")),
        ("ipv6", IPv6Address("2001:db8::b")),
    ],
)
def test_one_device_for_both_families_has_one_peer_with_both_subnets(mode: str, endpoint: object) -> None:
    seen = _world(1, DUAL, mode=mode)
    found = _objects(seen)
    assert [obj.name for obj in found if isinstance(obj, WireguardLink)] == ["flannel-wg"]
    assert [obj.port for obj in found if isinstance(obj, WgDevice)] == [51820]
    both = (IPv4Network("10.50.11.0/24"), IPv6Network("fd50:0:0:b::/64"))
    (peer,) = (obj for obj in found if isinstance(obj, WgPeer))
    assert (peer.endpoint, peer.port, peer.allowed) == (endpoint, 51820, both)
    assert [obj.destination for obj in found if isinstance(obj, Route)] == [*both]
    assert len([obj for obj in found if isinstance(obj, Address)]) == 2
    assert BACKEND.links(seen) == frozenset({"flannel-wg"})
    record = BACKEND.advertise(seen)
    assert record is not None
    assert record.backend_data == record.backend_data6 == WireguardData(key(0), 51820)


def test_peer_without_an_address_of_the_modes_family_cannot_be_reached_and_is_counted() -> None:
    seen = _world(1, DUAL, mode="ipv6")
    planner = BACKEND.planner(seen)
    peer = next(lease for lease in seen.view.leases.values() if lease.record.node_id == "node-1")
    assert planner is not None
    assert not planner.unreached(peer)
    alone = replace(peer, record=replace(peer.record, public_ip6=None))
    assert (list(planner.peer(alone)), planner.unreached(alone)) == ([], True)


@pytest.mark.parametrize(
    ("network", "given", "words"),
    [
        (DUAL, {"mtu": 1359}, "at least 1360"),
        (V4, {"mode": "ipv6"}, "no range of that family"),
        (V6, {"mode": "ipv4"}, "no range of that family"),
    ],
)
def test_option_that_does_not_fit_the_families_is_refused(
    network: NetworkConfig, given: dict[str, object], words: str
) -> None:
    asked = replace(network, backend_type="wireguard", backend_options=given)
    with pytest.raises(ConfigError, match=words):
        validate_network(asked)
    validate_network(replace(network, backend_type="wireguard", backend_options={"mode": "auto"}))


def test_options_are_obeyed_and_the_shared_key_stands_nowhere_as_it_is() -> None:
    seen = _world(1, psk=PSK, mtu=1400, persistentkeepaliveinterval=25, listenport=7000)
    found = _objects(seen)
    (peer,) = (obj for obj in found if isinstance(obj, WgPeer))
    assert (peer.psk, peer.keepalive) == (digest(shared_key({"psk": PSK})), 25)
    assert BACKEND.mtu(seen) == 1320
    assert not any(
        PSK in text for obj in found for text in (repr(obj), render(Put(obj)), render(Delete(obj)))
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"psk": PSK[:-4]}, "Backend.PSK of wireguard is no key: give 32 bytes in base64"),
        ({"psk": 7}, "Backend.PSK of wireguard is no key"),
        ({"listenport": 0}, "Backend.ListenPort of wireguard is 0"),
        ({"listenport": 70_000}, "Backend.ListenPort of wireguard is 70000"),
        ({"listenportv6": "x"}, "Backend.ListenPortV6 of wireguard is 'x'"),
        ({"listenport": 51821}, "Backend.ListenPortV6 of wireguard is 51821, as ListenPort"),
        ({"mtu": 100}, "Backend.MTU of wireguard is 100"),
        ({"persistentkeepaliveinterval": -1}, "Backend.PersistentKeepaliveInterval of wireguard is -1"),
        ({"mode": "both"}, "Backend.Mode of wireguard is 'both': give one of separate, auto"),
    ],
)
def test_bad_option_is_named_with_what_to_give_and_a_secret_is_not_shown(
    given: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        BACKEND.validate(given)
    assert words in str(raised.value)
    assert str(given.get("psk", "none")) not in str(raised.value).replace("7", "")


def test_lease_is_byte_for_byte_flannels_but_for_our_own_fields_and_is_read_as_it_was_written() -> None:
    record = BACKEND.advertise(ONE)
    assert record is not None
    value = encode_record(record)
    assert value == (
        b'{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"wireguard",'
        b'"BackendData":{"PublicKey":"%b","Port":51820},"NodeID":"node-0"}' % key(0).encode()
    )
    assert getattr(_decoded(value), "record", None) == record


def _decoded(value: bytes) -> object:
    return decode_lease(KeyValue("/p/subnets/10.50.11.0-24", value, 1, 1, 1, 1), "/p/subnets/")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (f'{{"PublicKey":"{written(bytes(32))}"}}', "is no key"),
        ('{"PublicKey":"AAAA","Port":51820}', "PublicKey 'AAAA' of BackendData is no key"),
        ('{"Port":51820}', "PublicKey '' of BackendData is no key"),
        (f'{{"PublicKey":"{key(1)}","Port":70000}}', "Port 70000 of BackendData is no UDP port"),
        ('{"PublicKey":7}', "cannot be read"),
        ("null", "BackendData is missing, and with it PublicKey"),
    ],
)
def test_lease_with_a_bad_key_or_port_is_named_and_costs_no_other(data: str, words: str) -> None:
    found = _decoded(f'{{"PublicIP":"192.0.2.11","BackendType":"wireguard","BackendData":{data}}}'.encode())
    assert isinstance(found, InvalidLease)
    assert words in found.reason


@pytest.mark.parametrize("port", ["", ',"Port":0'])
def test_lease_without_a_port_is_an_older_flannels(port: str) -> None:
    found = _decoded(
        f'{{"PublicIP":"192.0.2.11","BackendType":"wireguard","BackendData":{{"PublicKey":"{key(1)}"{port}}}}}'.encode()
    )
    assert isinstance(found, Lease)
    assert found.record.backend_data == WireguardData(key(1), None)


def test_changed_key_of_a_peer_is_added_before_the_old_one_goes() -> None:
    wanted = objects_by_key(_objects(ONE))
    old = replace(PEER, public_key=key(9))
    stands = {**{k: obj for k, obj in wanted.items() if obj != PEER}, old.key: old}
    assert diff(wanted, split(stands)).ops == (Put(PEER), Delete(old))


def test_older_lease_keeps_a_key_that_two_have_and_our_own_is_no_peer() -> None:
    two = _world(2)
    twin = [
        _with_key(each, 1) if number == 2 else each for number, each in enumerate(two.view.leases.values())
    ]
    found = admit(replace(two, view=view(twin)))
    assert [peer.record.node_id for peer in found.peers] == ["node-1"]
    assert f"has the public key {key(1)} of older lease" in found.rejected[0].message
    assert contend(twin[1], twin[2])
    copied = _with_key(twin[1], 0)
    planner = BACKEND.planner(ONE)
    assert planner is not None
    assert (list(planner.peer(copied)), planner.unreached(copied)) == ([], True)


def test_lines_are_those_of_wg_and_name_keys_by_their_public_half() -> None:
    seen = _world(1, psk=PSK, persistentkeepaliveinterval=25)
    lines = [render(op) for op in diff(objects_by_key(_objects(seen)), Observed()).ops]
    assert lines == [
        "ip link add flannel-wg mtu 1420 alias flanpy type wireguard",
        f"wg set flannel-wg listen-port 51820 private-key <of {key(0)}>",
        "sysctl -w net.ipv4.conf.flannel-wg.rp_filter=2",
        "sysctl -w net.ipv4.conf.flannel-wg.proxy_arp=0",
        "sysctl -w net.ipv4.conf.flannel-wg.forwarding=1",
        "ip address add 10.50.10.0/32 dev flannel-wg",
        "ip link set flannel-wg up",
        (
            f"wg set flannel-wg peer {key(1)} preshared-key <{digest(shared_key({'psk': PSK}))}>"
            " endpoint 192.0.2.11:51820 persistent-keepalive 25 allowed-ips 10.50.11.0/24"
        ),
        "ip route add 10.50.11.0/24 dev flannel-wg proto 70",
    ]
    assert render(Delete(PEER)) == f"wg set flannel-wg peer {key(1)} remove"


def test_device_that_flannel_left_is_adopted_and_another_kind_under_its_name_is_a_conflict() -> None:
    wanted = objects_by_key(_objects(ONE))
    link = WireguardLink("flannel-wg", 1420)
    left = replace(link, alias="")
    assert diff(wanted, split({**wanted, link.key: left})).ops == (Put(link, left),)
    for foreign in (
        OtherLink("flannel-wg", "dummy"),
        replace(link, alias="x"),
        WireguardLink("wg0", 1420, ""),
    ):
        assert split({foreign.key: foreign}).owned == {}


def test_nothing_is_planned_or_told_without_a_key_of_our_own() -> None:
    without = replace(ONE, policy=replace(ONE.policy, wireguard_key=""))
    assert (BACKEND.planner(without), BACKEND.advertise(without)) == (None, None)
    assert BACKEND.planner(replace(ONE, facts=replace(FACTS, underlay=None))) is None
    jumbo = replace(ONE, facts=moved(mtu=9000))
    assert BACKEND.mtu(jumbo) == 8920


def test_mtu_of_the_options_is_that_of_outgoing_packets() -> None:
    assert read_options({"mtu": 1400}).mtu == 1400


def test_lease_names_the_former_key_until_a_device_has_the_new_one() -> None:
    changing = replace(ONE, policy=replace(ONE.policy, wireguard_key=key(7), wireguard_said=key(0)))
    record = BACKEND.advertise(changing)
    assert record is not None
    assert record.wireguard_key == key(0)
    assert WgDevice("flannel-wg", key(7), 51820) in _objects(changing)
