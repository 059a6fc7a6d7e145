"""The extension backend: which commands may run, what is published, and for whom commands run."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any

import pytest

from flanpy.backend import choice
from flanpy.backend.extension import Commands, ExtensionBackend, allowed, refuse_unless_allowed, told
from flanpy.errors import ConfigError
from flanpy.model.lease import LeaseRecord, RawData, SubnetKey
from flanpy.model.objects import ExtensionPeer, ExtensionStart, HostSysctl
from flanpy.model.ops import Delete, Put
from flanpy.model.world import Printed, World
from flanpy.plan.admission import admit
from flanpy.plan.gates import brake
from flanpy.plan.ownership import split
from flanpy.plan.render import render
from tests.states import POLICY, as_backend, crowd, moved

BACKEND = ExtensionBackend()
FOUR = {
    "prestartupcommand": "/x/pre",
    "poststartupcommand": "/x/post now",
    "subnetaddcommand": "/x/add 'a b'",
    "subnetremovecommand": "/x/remove",
}
PRE, POST, ADD, REMOVE = ("/x/pre",), ("/x/post", "now"), ("/x/add", "a b"), ("/x/remove",)


def _world(options: dict[str, str] | None = None, *, peers: int = 1, commands: Any = None) -> World:
    given = FOUR if options is None else options
    one = as_backend("extension", crowd(peers))
    assert one.network is not None
    return replace(
        one,
        network=replace(one.network, backend_options=MappingProxyType(dict(given))),
        policy=replace(
            POLICY, extension_commands=tuple(given.values()) if commands is None else tuple(commands)
        ),
    )


WORLD = replace(_world(), printed=Printed(PRE, "hello"))


def test_commands_are_split_into_words_without_a_shell() -> None:
    assert allowed(WORLD) == Commands(PRE, POST, ADD, REMOVE)


def test_objects_are_one_start_and_one_for_each_peer() -> None:
    (peer,) = admit(WORLD).peers
    peer = replace(peer, record=replace(peer.record, backend_data=RawData('"their words"')))
    assert [*(choice.plan(WORLD, [peer]) or {}).values()] == [
        ExtensionStart(
            POST,
            SubnetKey(IPv4Network("10.50.10.0/24")),
            (IPv4Network("10.50.0.0/16"),),
            (IPv4Address("192.0.2.10"),),
        ),
        HostSysctl("net.ipv4.ip_forward", "1"),
        ExtensionPeer(
            SubnetKey(IPv4Network("10.50.11.0/24")), (IPv4Address("192.0.2.11"),), "their words", ADD, REMOVE
        ),
    ]


@pytest.mark.parametrize("missing", FOUR)
def test_command_that_the_host_does_not_allow_word_for_word_never_runs(missing: str) -> None:
    near = [text + " " if name != missing else f"{text} --more" for name, text in FOUR.items()]
    world = replace(_world(commands=near), printed=Printed(PRE, ""))
    assert allowed(world) is None
    assert (BACKEND.planner(world), BACKEND.advertise(world)) == (None, None)
    assert world.network is not None
    with pytest.raises(ConfigError, match=r"which this host does not allow: .* set extension-command"):
        refuse_unless_allowed(world.network, world.policy)


def test_nothing_runs_where_nothing_is_allowed_and_other_backends_are_not_asked() -> None:
    world = _world(commands=())
    assert world.network is not None
    with pytest.raises(ConfigError, match=r"Backend\.PreStartupCommand of extension is '/x/pre'"):
        refuse_unless_allowed(world.network, world.policy)
    refuse_unless_allowed(replace(world.network, backend_type="vxlan"), world.policy)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ip route add $SUBNET via $PUBLIC_IP", r"'\$' would need a shell: put it into a script"),
        ("a; b | c && d", "would need a shell"),
        ("a `b`", "would need a shell"),
        ("a > /dev/null", "would need a shell"),
        ("a 'b", "No closing quotation"),
        (7, "is 7: give a command line as text"),
    ],
)
def test_option_that_is_no_plain_command_line_is_refused(value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BACKEND.validate({"subnetaddcommand": value})


def test_lease_carries_what_prestartup_printed_as_flannel_writes_it() -> None:
    assert BACKEND.advertise(WORLD) == LeaseRecord(
        IPv4Address("192.0.2.10"), None, "extension", RawData('"hello"'), node_id=POLICY.node_id
    )


@pytest.mark.parametrize("printed", [None, Printed(("/x/other",), "old")])
def test_nothing_is_leased_or_planned_before_prestartup_has_spoken(printed: Printed | None) -> None:
    world = replace(WORLD, printed=printed)
    assert (BACKEND.advertise(world), choice.plan(world, ())) == (None, None)


def test_without_commands_a_lease_has_no_data_and_peers_need_nothing_run() -> None:
    world = _world({})
    assert BACKEND.advertise(world) == LeaseRecord(
        IPv4Address("192.0.2.10"), None, "extension", node_id=POLICY.node_id
    )
    (peer,) = [
        o for o in (choice.plan(world, admit(world).peers) or {}).values() if isinstance(o, ExtensionPeer)
    ]
    assert (peer.add, peer.remove, peer.told) == ((), (), "")


@pytest.mark.parametrize(
    ("json", "text"),
    [('"a\\nb"', "a\nb"), ('{"a": 1}', '{"a": 1}'), ("7", "7"), ("broken", "broken"), ('""', "")],
)
def test_published_data_reaches_commands_as_flannel_reads_it(json: str, text: str) -> None:
    assert told(RawData(json)) == text


def test_mtu_is_the_underlays_and_the_way_is_a_command() -> None:
    assert choice.mtu(replace(WORLD, facts=moved(mtu=1400))) == 1400
    assert str(choice.ways(WORLD)(admit(WORLD).peers[0])) == "command"


def test_p16_brake_counts_peers_that_only_commands_know() -> None:
    world = replace(_world(peers=30), printed=Printed(PRE, ""))
    desired = choice.plan(world, admit(world).peers) or {}
    observed = split(desired)
    assert len(observed.owned) == len(desired)
    deletes = [Delete(obj) for obj in observed.owned.values() if isinstance(obj, ExtensionPeer)]
    assert brake(deletes, observed.owned, world.view, held=None) is not None
    assert brake(deletes[:5], observed.owned, world.view, held=None) is None


def test_operations_are_shown_by_what_they_are_for() -> None:
    desired = choice.plan(WORLD, admit(WORLD).peers) or {}
    assert [render(Put(obj)) for obj in desired.values()] == [
        "extension add start 10.50.10.0-24",
        "sysctl -w net.ipv4.ip_forward=1",
        "extension add subnet 10.50.11.0-24 via 192.0.2.11",
    ]
