"""Readers of what other programs of this host say (kernel, filters, Docker, systemd, files), as functions of octets.

`targets.py` joins them to those for etcd and the network. The kernel and root's programs are no enemies, but a version
that is not known yet, a comment in a rule or the name of a link must end in an error of ours, never in a traceback.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from flanpy.config.environ import read_environ
from flanpy.config.file import read_file
from flanpy.config.service_files import read_service_files
from flanpy.docker import opts
from flanpy.docker.api import NOT_DOCKER
from flanpy.docker.facts import DockerFacts, facts
from flanpy.docker.unit import unit_command
from flanpy.errors import ConfigError, DockerError, FlanpyError
from flanpy.host import cloud_file, drain_file
from flanpy.kernel import dumps
from flanpy.kernel.notice import Echoes, NoticeBoard
from flanpy.kernel.recall import Recall
from flanpy.kernel.request import _Dump
from flanpy.kernel.rules import _rule
from flanpy.model.address import Family
from flanpy.model.packet_filter import FilterChain, Flavour, OtherRule
from flanpy.netfilter.saved import read_listed, read_saved
from flanpy.netlink import rtnl
from flanpy.netlink.framing import HEADER, each_attribute, messages, number, text
from flanpy.plan.filter_text import iptables_rule, nft_rules
from flanpy.store.session.certificate import ended
from flanpy.trace import iptables_text
from flanpy.trace.nft_json import read_ruleset
from tests.hostile.texts import assert_sayable

Target = Callable[[bytes], None]


def _file(name: str, octets: bytes) -> Path:
    directory = Path(gettempdir()) / "flanpy-fuzz"
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(octets)
    return path


def saved_filter(octets: bytes) -> None:
    """Check that a rule of ours that is read is written as it stood, but for the order of its words."""
    listed = octets.decode(errors="backslashreplace")
    for family in Family:
        for found in read_saved(listed, Flavour.IPTABLES_NFT, family).objects:
            if not isinstance(found, FilterChain):
                assert "\n" not in found.match
                continue
            for rule in found.rules:
                if not isinstance(rule, OtherRule):
                    again = f"*{found.table}\n:{found.name} - [0:0]\n-A {found.name} {iptables_rule(rule)}\n"
                    (chain,) = read_saved(again, Flavour.IPTABLES_NFT, family).objects
                    assert chain == replace(found, rules=(rule,))


def listed_filter(octets: bytes) -> None:
    """Check the same of nft's rules."""
    for family in Family:
        for chain in read_listed(octets.decode(errors="backslashreplace"), family, "flanpy"):
            for rule in chain.rules:
                if not isinstance(rule, OtherRule):
                    assert all("\n" not in one for one in nft_rules(rule, family))


def traced_filter(octets: bytes) -> None:
    """Read the rules for a trace."""
    iptables_text.read_saved(octets.decode(errors="backslashreplace"), "iptables-nft", Family.IPV4)


def traced_ruleset(octets: bytes) -> None:
    """Check that other JSON than nft's is a ValueError."""
    try:
        read_ruleset(octets.decode(errors="backslashreplace"))
    except ValueError:
        return


_NAMES = {1: "lo", 2: "eth0", 3: "flannel.1"}


def netlink_datagram(octets: bytes) -> None:
    """Read a datagram as news and as an answer to each of our dumps."""
    for (*_,) in messages(octets):
        pass
    for kind, value in each_attribute(octets):
        assert 0 <= kind < 1 << 14
        number(value)
        text(value)
    board = NoticeBoard(links=frozenset({"flannel.1"}), routed=frozenset({"eth0"}), tables=frozenset({51}))
    for start, end, *_ in messages(octets):
        board.judge(octets, start, end, echoes=Echoes())
    old, new = Recall(), Recall()
    for parse in (
        dumps.neighbours("flannel.1", old, new),
        dumps.fdb_entries("flannel.1", old, new),
        dumps.routes(_NAMES, old, new),
        _rule,
    ):
        try:
            _Dump(parse).take(octets, 1)
        except FlanpyError as error:
            assert_sayable(str(error))


def docker_answer(octets: bytes) -> None:
    """Read a list of three documents: /info, the default network and ours."""
    try:
        said: Any = json.loads(octets)
        info, default, own = said
        found = facts(info, default, own)
    except NOT_DOCKER:
        return
    assert isinstance(found, DockerFacts)


def docker_unit(octets: bytes) -> None:
    """Read `systemctl cat docker.service`."""
    unit_command(octets.decode(errors="replace"))


def docker_options(octets: bytes) -> None:
    """Read subnet.env as flannel's script does: no value holds a word more than its type has."""
    values = opts.values_of(octets.decode(errors="replace"), {})
    try:
        written = opts.text(values, opts.Form())
    except DockerError as error:
        assert_sayable(str(error))
        return
    for line in written.splitlines():
        assert re.fullmatch(r'DOCKER_OPT[A-Z_]*="[- a-z0-9./=]*"', line), line


def routes_file(octets: bytes) -> None:
    """Read /proc/net/route."""
    opts.foreign_route({"FLANNEL_SUBNET": "10.50.7.1/24"}, octets.decode(errors="replace"))


def service_file(octets: bytes) -> None:
    """Read /etc/default/flanpyd."""
    try:
        read_service_files([_file("flanpyd", octets)])
        read_environ({"FLANPYD_IFACE": octets.decode(errors="surrogateescape")})
    except ConfigError as error:
        assert_sayable(str(error))


def settings_file(octets: bytes) -> None:
    """Read /etc/flanpy/flanpyd.toml."""
    try:
        read_file(_file("flanpyd.toml", octets), must_exist=True)
    except ConfigError as error:
        assert_sayable(str(error))


def state_files(octets: bytes) -> None:
    """Read the files of the state directory that say no more than a few words."""
    cloud_file.load(_file(cloud_file.FILE_NAME, octets).parent)
    drained = drain_file.load(_file(drain_file.FILE_NAME, octets).parent)
    assert drained is not None
    assert drained.since == drained.since


def certificate_file(octets: bytes) -> None:
    """Read the end of a certificate, as PEM and as what PEM holds."""
    from base64 import encodebytes  # noqa: PLC0415

    ended(_file("one.pem", octets))
    ended(
        _file(
            "two.pem",
            b"-----BEGIN CERTIFICATE-----\n" + encodebytes(octets) + b"-----END CERTIFICATE-----\n",
        )
    )


def _message(kind: int, body: bytes, sequence: int = 1) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, 0, sequence, 0) + body


_REPLICAS = Path(__file__).parent.parent / "netfilter" / "replicas"
_SAVED = (
    b"*filter\n:FORWARD ACCEPT [0:0]\n:FLANPY-FWD - [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j FLANPY-FWD\n"
    b"-A FLANPY-FWD -s 10.50.0.0/16 ! -o flannel.1 -j ACCEPT\n"
    b'-A FLANPY-FWD -p udp -m udp --dport 8472 -j DROP\n-A FLANPY-FWD -m comment --comment "it\'s" -j RETURN\nCOMMIT\n'
)
_REPLICA = (_REPLICAS / "docker-20.10-legacy-network-mode.iptables").read_bytes()[:900]
_MARKED = b"*mangle\n:A - [0:0]\n-A A -m mark --mark 0x1 -j MARK --set-xmark 0x1/0xff\nCOMMIT\n"
_LISTED = (
    b"table ip flanpy {\n\tchain forward {\n\t\ttype filter hook forward priority -10; policy accept;\n"
    b'\t\tiifname "flannel.1" ip saddr != 10.50.0.0/16 drop\n\t\tudp dport { 8472, 8473 } counter name "a" drop\n'
    b"\t\tct state established,related return\n\t\tct status dnat return\n\t\taccept\n\t}\n}\n"
)
_RULESET = (
    b'{"nftables":[{"table":{"family":"ip","name":"t"}},{"chain":{"family":"ip","table":"t","name":"c","type":"filter",'
    b'"hook":"forward","prio":0,"policy":"accept"}},{"set":{"family":"ip","table":"t","name":"s","elem":["10.0.0.1"]}},'
    b'{"rule":{"family":"ip","table":"t","chain":"c","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip",'
    b'"field":"saddr"}},"right":{"prefix":{"addr":"10.50.0.0","len":16}}}},{"counter":{"packets":1,"bytes":2}},'
    b'{"drop":null}]}}]}'
)
_DOCKER = (
    b'[{"ServerVersion":"20.10.24","LiveRestoreEnabled":true,"ContainersRunning":2,"FirewallBackend":{"Driver":"x"}},'
    b'{"Name":"bridge","Id":"ab","Options":{"com.docker.network.bridge.name":"docker0"},"IPAM":{"Config":[{"Subnet":'
    b'"10.50.7.0/24","Gateway":"10.50.7.1"}]},"Containers":{"1":{"Name":"c"}},"Labels":{}},null]'
)
_UNIT = (
    b'# /lib/systemd/system/docker.service\n[Service]\nEnvironment="A=--bip 10.0.0.1/24"\nEnvironmentFile=-/dev/null\n'
    b"ExecStart=\nExecStart=/usr/bin/dockerd -H fd:// $A ${B}\n"
)
_ROUTES = (
    b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    b"eth0\t00073200\t010000C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)
_NEIGHBOUR = struct.pack("=BBHiHBB", 2, 0, 0, 3, 0x80, 0, 1) + struct.pack(
    "=HH4sHH6s2x", 8, 1, b"\n2\7\1", 10, 2, b"\2\0\0\0\0\1"
)
_ROUTE = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 3, 0, 1, 0) + struct.pack(
    "=HHIHH4sHHI", 8, 15, 254, 8, 1, b"\n2\7\0", 8, 4, 2
)
_LINK = struct.pack("=BBHiII", 0, 0, 1, 3, 1, 0) + struct.pack("=HH12s", 14, 3, b"flannel.1\0")
_NETCONF = struct.pack("=B3x", 2) + struct.pack("=HHiHHi", 8, 1, 2, 8, 2, 1)

HOST_TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "saved_filter": (saved_filter, (_SAVED, _REPLICA)),
    "listed_filter": (listed_filter, (_LISTED,)),
    "traced_filter": (traced_filter, (_SAVED, _MARKED)),
    "traced_ruleset": (traced_ruleset, (_RULESET, b"", b"[]")),
    "netlink_datagram": (
        netlink_datagram,
        (
            _message(rtnl.NEWNEIGH, _NEIGHBOUR),
            _message(rtnl.NEWROUTE, _ROUTE),
            _message(rtnl.NEWLINK, _LINK) + _message(rtnl.NEWNETCONF, _NETCONF),
            _message(2, struct.pack("=i", -17) + bytes(16)),
        ),
    ),
    "docker_answer": (docker_answer, (_DOCKER,)),
    "docker_unit": (docker_unit, (_UNIT,)),
    "docker_options": (docker_options, (b"FLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",)),
    "routes_file": (routes_file, (_ROUTES,)),
    "service_file": (service_file, (b'# x\nFLANPYD_IFACE="eth0"\nFLANPYD_ETCD_PREFIX=/a \\\n b\n', b"A='")),
    "settings_file": (settings_file, (b'iface = ["eth0"]\n[etcd]\nendpoints = ["http://192.0.2.1:2379"]\n', b"a = 0x")),
    "state_files": (
        state_files,
        (
            b'{"routes":[{"backend":"aws-vpc","target":"i-1","subnet":"10.50.7.0/24","address":"192.0.2.1"}]}',
            b'{"since":1.5,"subnet":"10.50.7.0/24","subnet6":"fd50::/64"}',
        ),
    ),
    "certificate_file": (certificate_file, (b"0\x1e0\x1c\xa0\3\2\1\2\2\1\0010\0000\0000\x0f\x17\r260101000000Z",)),
}  # fmt: skip
"""Each with what it is begun with."""

HOST_FOUND: dict[str, tuple[bytes, ...]] = {
    "saved_filter": (
        b"*filter\n:\n-A \n-A X",
        b'*filter\n:FLANPY-A - [0:0]\n-A FLANPY-A -m comment --comment "it -j RETURN\n',
        b"*filter\n:FLANPY-A - [0:0]\n-A FLANPY-A -p udp -m multiport --dports , -j DROP\n",
        '*filter\n:FLANPY-A - [0:0]\n-A FORWARD -m comment --comment "a\u2028-A FLANPY-A -j RETURN" -j X\n'.encode(),
    ),
    "listed_filter": (b"table ip t {\n chain c {\n  udp dport { , } drop\n }\n}\n",),
    "traced_filter": (
        b"*mangle\n:A\n-A A -m mark --mark 0x1 \xff---set-xmark 0x1/0xff\nCOMMIT\n",
        b"*mangle\n:A - [0:0]\n-A A -m mark --mark -j MARK --set-xmark x\n-A A !\nCOMMIT\n",
    ),
    "traced_ruleset": (b"[]", b'{"nftables":[1]}', b"[" * 100_000, b'{"nftables":[{"table":{"family":[]}}]}'),
    "netlink_datagram": (
        bytes(64),
        b"0\0\0\0\x1c\0\0\0\1\0\0\0\0\0\0\0",
        _message(rtnl.NEWROUTE, b"\2"),
        _message(2, b""),
    ),
    "docker_answer": (b'[{"ServerVersion":"20.10","ContainersRunning":Infinity},null,null]',),
    "docker_unit": (b"EnvironmentFile=\0\n",),
    "docker_options": (b"FLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_IPMASQ=tr\0\x1b[2Jue\n",),
    "routes_file": ("Iface\na\u2003b\t00073200\t010000C0\t3\t0\t0\t0\t00FFFFFF\nx\n".encode(),),
    "settings_file": (b"a = " + b"[" * 100_000, b"mtu = 0x1" + b"0" * 5000),
    "state_files": (
        b'{"since":1' + b"0" * 400 + b"}",
        b'{"since":NaN}',
        b'{"routes":[{"backend":[],"target":"i-1","subnet":"10.50.7.0/24","address":"192.0.2.1"}]}',
    ),
}
"""Each was read wrongly once."""
