"""Arbitrary content of etcd, files and answers: an error is one line, and nothing raises."""

from __future__ import annotations

import io
import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flanpy.backend import choice
from flanpy.backend.registry import validate_network
from flanpy.cli.base import output
from flanpy.docker.merge import merge, settings_in
from flanpy.docker.wanted import Wanted
from flanpy.errors import FlanpyError
from flanpy.host import state_file, subnet_env, tunnel_file
from flanpy.host.absent import Absent
from flanpy.host.extension import ExtensionPart
from flanpy.log import configure, get_logger
from flanpy.model.lease import InvalidLease, Lease, SubnetKey
from flanpy.model.network.config import parse_network_config
from flanpy.model.objects import ExtensionPeer
from flanpy.model.ops import Put
from flanpy.plan.admission import admit
from flanpy.plan.render import render
from flanpy.printable import escaped, on_one_line, plain, tamed
from flanpy.probe.rows import mesh_rows, read_document
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_key, decode_lease, encode_record
from integration.drivers.matrix.outcome import in_full
from tests.hostile.texts import BITES, assert_sayable, controls, json_values, texts
from tests.states import V4, world

EXAMPLES = settings(
    max_examples=2000 if in_full() else 60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
PREFIX = "/coreos.com/network/subnets/"
NAMES = (
    "PublicIP",
    "PublicIPv6",
    "BackendType",
    "BackendData",
    "BackendV6Data",
    "NodeID",
    "FastPath",
    "MeshToken",
    "WithoutIPv6",
    "WireguardKey",
    "Else",
)
KEYS = ("10.50.7.0-24", "10.50.7.0-24&fd50::-64", "fd50::-64", "../../../etc/passwd", "10.50.7.0-24\n")
CONFIG_NAMES = (
    "Network", "SubnetLen", "SubnetMin", "SubnetMax", "EnableIPv4", "EnableIPv6", "IPv6Network", "IPv6SubnetLen",
    "Backend", "EnableNFTables",
)  # fmt: skip
OPTION_NAMES = (
    "Type", "VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting", "PreStartupCommand", "SubnetAddCommand",
)  # fmt: skip

WANTED = Wanted(
    network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network("10.50.7.0/24"), mtu=1450, masquerade=True
)


def _kv(key: str, value: bytes) -> KeyValue:
    return KeyValue(PREFIX + key, value, 1, 2, 1, 7)


def _lease_of(key: str, value: bytes) -> Lease | InvalidLease:
    found = decode_lease(_kv(key, value), PREFIX)
    if isinstance(found, InvalidLease):
        assert_sayable(found.reason)
    else:
        assert_sayable(found.record.node_id)
        assert_sayable(found.record.backend_type)
        assert "/" not in str(found.key)
        assert_sayable(str(found.key))
    return found


@EXAMPLES
@given(st.one_of(st.sampled_from(KEYS), texts), st.dictionaries(st.sampled_from(NAMES), json_values))
def test_any_lease_is_a_lease_or_refused_in_one_line(key: str, value: dict[str, Any]) -> None:
    found = _lease_of(key, json.dumps(value).encode())
    if isinstance(found, Lease):
        encode_record(found.record)


@EXAMPLES
@given(st.sampled_from(KEYS), st.binary(max_size=200))
@example("10.50.7.0-24", b"\xff" * 100_000)
@example("10.50.7.0-24", b"[" * 200_000)
def test_any_octets_are_no_lease_and_raise_nothing(key: str, value: bytes) -> None:
    _lease_of(key, value)


@EXAMPLES
@given(texts)
def test_any_key_is_a_subnet_or_refused_in_one_line(key: str) -> None:
    found = decode_key(key)
    if isinstance(found, str):
        assert_sayable(found)


lease_values = st.fixed_dictionaries(
    {"PublicIP": st.sampled_from(["192.0.2.9", "192.0.2.77", "0.0.0.0", "10.50.7.1"])},
    optional={
        "BackendType": st.sampled_from(
            ["vxlan", "udp", "host-gw", "ipip", "wireguard", "extension", "", "\x1b[2J"]
        ),
        "BackendData": st.one_of(json_values, st.just({"VNI": 1, "VtepMAC": "02:00:00:00:00:09"})),
        "NodeID": texts,
    },
)


@EXAMPLES
@given(st.sampled_from(["10.50.7.0-24", "10.50.250.0-30", "0.0.0.0-0", "192.0.2.0-24"]), lease_values)
def test_plan_for_any_lease_that_passes_has_only_addresses_of_it_in_its_commands(
    key: str, value: dict[str, Any]
) -> None:
    found = _lease_of(key, json.dumps(value).encode())
    if isinstance(found, InvalidLease):
        return
    now = world(V4, found)
    admitted = admit(now)
    for refused in admitted.rejected:
        assert_sayable(refused.message)
    for obj in (choice.plan(now, admitted.peers) or {}).values():
        line = render(Put(obj))
        assert controls(line) == []
        for bite in ("$(", "`", ";", "\\", "'", '"', "..", "%s"):
            assert bite not in line


def _parsed(text: str | bytes) -> None:
    try:
        network = parse_network_config(text)
        for warning in network.warnings:
            assert_sayable(warning)
        validate_network(network)
    except FlanpyError as error:
        assert_sayable(str(error))


configs = st.dictionaries(st.sampled_from(CONFIG_NAMES), json_values).flatmap(
    lambda fields: st.dictionaries(st.sampled_from(OPTION_NAMES), json_values).map(
        lambda options: {"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", **options}, **fields}
    )
)


@EXAMPLES
@given(configs)
@example({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": "x" * 100_000}})
@example({"Network": "10.50.0.0/16", "Backend": {"Type": "x\x1b" * 100_000}})
@example({"Network": "10.50.0.0/16", "Backend": {"Type": "extension", "PreStartupCommand": "x\x1b" * 10_000}})
@example({"x\ud800" * 50: 1})
def test_any_network_config_is_a_network_or_refused_in_one_short_line(config: dict[str, Any]) -> None:
    _parsed(json.dumps(config))


@EXAMPLES
@given(st.one_of(texts, st.binary(max_size=100)))
@example("[" * 200_000)
@example('{"Network": ' + "9" * 100_000 + "}")
def test_any_text_is_no_network_config_and_raises_nothing_else(text: str | bytes) -> None:
    _parsed(text)


@EXAMPLES
@given(
    content=st.one_of(texts.map(lambda text: text.encode(errors="surrogatepass")), st.binary(max_size=300))
)
@example(content=b"FLANNEL_MTU=" + b"9" * 5000)
def test_any_files_of_ours_are_used_or_left_out_in_one_line(content: bytes, tmp_path_factory: Any) -> None:
    directory: Path = tmp_path_factory.mktemp("files")
    for name in ("subnet.env", "lease.json", "tunnel.json", "extension.json"):
        (directory / name).write_bytes(content)
    for found in (subnet_env.read(directory / "subnet.env"), state_file.load(directory, node_id="n1")):
        if isinstance(found, Absent):
            assert_sayable(found.reason.replace(str(directory), ""))
    tunnel_file.TunnelFile(directory).load()
    ExtensionPart(directory)


lease_files = st.fixed_dictionaries({
    "version": st.just(1), "subnet": st.one_of(st.just("10.50.7.0/24"), json_values), "subnet6": json_values,
    "lease_id": json_values, "revision": json_values, "node_id": st.one_of(st.just("n1"), texts),
    "network_config": st.one_of(st.just("{}"), texts), "public_ip": json_values, "public_ip6": st.none(),
    "saved_at": json_values,
})  # fmt: skip


@EXAMPLES
@given(document=lease_files)
def test_any_saved_lease_is_used_or_left_out_in_one_line(
    document: dict[str, Any], tmp_path_factory: Any
) -> None:
    directory: Path = tmp_path_factory.mktemp("lease")
    (directory / "lease.json").write_text(json.dumps(document))
    found = state_file.load(directory, node_id="n1")
    if isinstance(found, Absent):
        assert_sayable(found.reason.replace(str(directory), ""))


@EXAMPLES
@given(st.one_of(json_values, st.fixed_dictionaries({"bip": json_values, "mtu": json_values})))
def test_any_daemon_json_is_read_or_refused_in_one_line(document: Any) -> None:
    text = json.dumps(document)
    try:
        settings_in(text.encode(), "daemon.json")
        merge(text.encode(), WANTED, name="daemon.json")
    except FlanpyError as error:
        assert_sayable(str(error))


@EXAMPLES
@given(st.one_of(json_values, st.fixed_dictionaries({
    "at": st.one_of(st.just(1.0), json_values),
    "rows": st.lists(st.one_of(json_values, st.fixed_dictionaries({
        "subnet": st.one_of(st.just("10.50.7.0-24"), texts), "reach": st.one_of(st.just("reachable"), texts),
        "trouble": st.one_of(st.just("none"), texts), "rtt_ms": json_values, "loss": json_values,
    })), max_size=5),
})))  # fmt: skip
@example({"at": 10**400, "rows": []})
@example(
    {
        "at": 1,
        "rows": [{"subnet": "10.50.7.0-24", "reach": "ok", "trouble": "", "rtt_ms": 10**400, "loss": 0}],
    }
)
def test_any_answer_of_another_host_is_read_with_only_words_that_we_know(document: Any) -> None:
    found = read_document(json.dumps(document).encode())
    if found is None:
        return
    for row in mesh_rows(found, sender="n1", names={"10.50.7.0-24": "n7"}):
        assert row["to"] == "n7"
        assert_sayable(json.dumps(row))


@pytest.mark.asyncio
@pytest.mark.parametrize("told", BITES)
async def test_whatever_a_peer_published_reaches_a_command_by_its_standard_input_only(
    tmp_path: Path, told: str
) -> None:
    script = tmp_path / "add"
    script.write_text(
        f'#!/bin/sh\ncat > {tmp_path}/told\necho "$0 $#" > {tmp_path}/argv\nenv > {tmp_path}/env\n'
    )
    script.chmod(0o755)
    peer = ExtensionPeer(
        SubnetKey(IPv4Network("10.50.7.0/24")), (IPv4Address("192.0.2.7"),), f"<{told}>", (str(script),), ()
    )
    assert await ExtensionPart(tmp_path).apply([Put(peer)]) == ()
    assert (tmp_path / "argv").read_text() == f"{script} 0\n"
    assert (tmp_path / "told").read_bytes() == f"<{told}>\n".encode(errors="replace")
    assert "<" not in (tmp_path / "env").read_text().replace("<unknown>", "")


# Logs and terminals


@EXAMPLES
@given(texts, json_values)
@pytest.mark.parametrize("form", ["json", "console"])
def test_log_line_is_one_line_without_controls_whatever_its_values(form: str, text: str, value: Any) -> None:
    stream = io.StringIO()
    configure(form, "debug", stream=stream)
    try:
        get_logger().warning("lease_refused", reason=text, value=value, error=ValueError(text))
    finally:
        configure()
    written = stream.getvalue()
    assert written.endswith("\n")
    assert controls(written[:-1]) == []
    written.encode()
    if form == "json":
        assert json.loads(written)["reason"] == text


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("bite", BITES)
def test_traceback_in_a_log_holds_no_controls_but_its_line_ends(form: str, bite: str) -> None:
    stream = io.StringIO()
    configure(form, "debug", stream=stream)
    try:
        get_logger().error("pass_failed", exc_info=RuntimeError(f"<{bite}>"))
    finally:
        configure()
    assert controls(stream.getvalue().replace("\n", "").replace("\t", "")) == []


@EXAMPLES
@given(json_values)
def test_json_and_yaml_on_a_terminal_hold_no_controls_and_the_same_value(value: Any) -> None:
    for form in ("json", "yaml"):
        stream = io.StringIO()
        (output.print_json if form == "json" else output.print_yaml)(value, stream)
        assert controls(stream.getvalue().replace("\n", "")) == []
        stream.getvalue().encode()
        if form == "json" and value == value:
            assert json.loads(stream.getvalue()) == json.loads(json.dumps(value))


@EXAMPLES
@given(texts, texts)
def test_table_holds_one_line_a_row_whatever_its_cells(one: str, other: str) -> None:
    text = output.plain_table(output.Table(("A", "B"), ((one, other), (other, one))))
    assert len(text.splitlines()) == 3
    assert controls(text.replace("\n", "")) == []


@EXAMPLES
@given(texts, json_values)
@example("\ud800\udfff", None)
def test_text_made_plain_stays_what_it_was_where_there_is_nothing_to_mend(text: str, value: Any) -> None:
    assert controls(on_one_line(text)) == []
    assert controls(tamed(text).replace("\n", "").replace("\t", "")) == []
    assert on_one_line("Grüße, 10.50.7.0/24 → h2") == "Grüße, 10.50.7.0/24 → h2"
    assert controls(json.dumps(plain(json.loads(json.dumps(value))), ensure_ascii=False)) == []
    # JSON's escapes join two halves of a character that stand beside each other; so does the standard library's form.
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == json.loads(json.dumps(text))
