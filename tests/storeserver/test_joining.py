"""The second door of the store: who is let in by a token, and what a member may do then."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from flanpy.cluster import authority, records, talk
from flanpy.cluster.records import Refused
from flanpy.cluster.talk import NotAdmitted
from flanpy.cluster.token import Token, fresh
from flanpy.errors import ConfigError, HostError, StoreUnavailable
from flanpy.store import etcdpb as pb
from integration.etcd.embedded import PROGRAM
from integration.etcd.loopback import HERE, free_ports
from tests.storeserver.cluster import Cluster

pytestmark = pytest.mark.etcd

A_YEAR_AHEAD = (
    "import sys, time; real = time.time; time.time = lambda: real() + 31_536_000;"
    " from flanpy.storeserver.main import main; sys.exit(main())"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.process.kill()


def _why(cluster: Cluster, token: Token, name: str) -> Refused:
    with pytest.raises(NotAdmitted) as refused:
        cluster.join(token, name)
    return refused.value.reason


def _code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    code: grpc.StatusCode = refused.value.code()
    return code


def test_host_with_a_token_becomes_a_member_that_reads_and_writes(cluster: Cluster) -> None:
    with cluster.client(*cluster.join(cluster.token(), "first")) as client:
        client.put(b"/coreos.com/network/config", b"{}")
        assert client.values(b"/coreos.com/") == {b"/coreos.com/network/config": b"{}"}
        names = [records.member_of(value) for value in client.values(records.MEMBERS.encode()).values()]
        assert "first" in {member.name for member in names if member}


@pytest.mark.parametrize("end", [b"", b"\0", records.MEMBERS.encode() + b"\xff"])
def test_member_does_not_write_the_records_of_members(cluster: Cluster, end: bytes) -> None:
    key = f"{records.MEMBERS}intruder".encode()
    with cluster.client(*cluster.join(cluster.token(), f"writer{end.hex()}")) as client:
        denied = grpc.StatusCode.PERMISSION_DENIED
        assert _code(lambda: client.put(key)) is denied
        delete = pb.DeleteRangeRequest(key=b"/coreos.com/" if end == b"\0" else key, range_end=end)
        assert _code(lambda: client.kv.DeleteRange(delete, timeout=30)) is denied
        txn = pb.TxnRequest(success=[pb.RequestOp(request_delete_range=delete)])
        assert _code(lambda: client.kv.Txn(txn, timeout=30)) is denied


def test_certificate_of_the_authority_alone_makes_no_member(cluster: Cluster) -> None:
    with cluster.client(*cluster.issue("stranger", "0123456789abcdef")) as client:
        assert _code(lambda: client.values(b"/")) is grpc.StatusCode.PERMISSION_DENIED


def test_spent_ended_unknown_and_altered_tokens_are_refused_each_by_name(cluster: Cluster) -> None:
    token = cluster.token()
    cluster.join(token, "one")
    assert _why(cluster, token, "two") is Refused.SPENT
    assert _why(cluster, cluster.token(lifetime=-1), "three") is Refused.ENDED
    assert _why(cluster, fresh(token.addresses, token.authority), "four") is Refused.UNKNOWN
    wrong = Token(token.addresses, token.authority, token.id, "another secret")
    assert _why(cluster, wrong, "five") is Refused.UNKNOWN
    for secret in (token.secret, wrong.secret):
        assert secret not in cluster.log()


def test_host_that_asks_again_with_its_key_costs_no_second_use(cluster: Cluster) -> None:
    token = cluster.token()
    first = cluster.join(token, "again")[0].read_text()
    second = cluster.join(token, "again")[0].read_text()
    assert first != second
    with cluster.client(*cluster.join(token, "again")) as client:
        client.values(b"/")


def test_name_of_another_member_is_refused_and_uses_nothing_up(cluster: Cluster) -> None:
    cluster.join(cluster.token(), "twin")
    token = cluster.token()
    with pytest.raises(NotAdmitted) as refused:
        cluster.join(token, "twin", file="other-twin")
    assert refused.value.reason is Refused.NAME_TAKEN
    cluster.join(token, "no-twin")


def test_of_two_hosts_at_once_one_gets_the_last_use(cluster: Cluster) -> None:
    token = cluster.token()
    outcomes: list[object] = []

    def try_(name: str) -> None:
        try:
            outcomes.append(cluster.join(token, name))
        except NotAdmitted as refused:
            outcomes.append(refused.reason)

    threads = [threading.Thread(target=try_, args=(f"racer{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one is Refused.SPENT for one in outcomes) == [False, True, True, True]


def test_member_that_is_struck_off_is_refused_and_its_watch_ends(cluster: Cluster) -> None:
    certificate, key = cluster.join(cluster.token(), "leaver")
    member = authority.member_id(authority.request_of(key))
    with cluster.client(certificate, key) as client, cluster.client(*cluster.operator) as operator:
        call = client.watching([pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"/x"))])
        assert next(call).created
        operator.kv.DeleteRange(pb.DeleteRangeRequest(key=f"{records.MEMBERS}{member}".encode()), timeout=30)
        assert _code(lambda: next(call)) is grpc.StatusCode.PERMISSION_DENIED
        assert _code(lambda: client.values(b"/")) is grpc.StatusCode.PERMISSION_DENIED


def test_member_leaves_by_its_own_certificate_and_nobody_without_one(cluster: Cluster) -> None:
    certificate, key = cluster.join(cluster.token(), "goer")
    ca = cluster.ca.read_text()
    with pytest.raises(NotAdmitted) as refused:
        talk.ask_any((cluster.door,), talk.trusting(ca), {"do": "leave"})
    assert refused.value.reason is Refused.NO_MEMBER
    context = talk.trusting(ca, certificate=certificate, key=key)
    talk.ask_any((cluster.door,), context, {"do": "leave"})
    with cluster.client(certificate, key) as client:
        assert _code(lambda: client.values(b"/")) is grpc.StatusCode.PERMISSION_DENIED


def test_secret_is_said_to_nobody_but_the_tokens_own_cluster(cluster: Cluster, tmp_path: Path) -> None:
    token = cluster.token()
    with pytest.raises(ConfigError, match="another cluster"):
        talk.fetch_authority(token.addresses, "0" * 64)
    (tmp_path / "other").mkdir()
    authority.make_authority(tmp_path / "other/ca.crt", tmp_path / "other/ca.key")
    other = talk.trusting((tmp_path / "other/ca.crt").read_text())
    with pytest.raises(HostError, match="not the cluster's"):
        talk.ask_any(token.addresses, other, {"do": "authority"})
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        talk.fetch_authority((f"{HERE}:{free_ports(1)[0]}",), token.authority)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"do": "join"}', b'{"do": 7}', b'{"do":"join","token":"","secret":"","request":0}', b"\xff",
     b"[" * 2000],
)  # fmt: skip
def test_question_that_makes_no_sense_is_refused_and_the_door_stays_open(
    cluster: Cluster, line: bytes
) -> None:
    context = talk.trusting(cluster.ca.read_text())
    with (
        socket.create_connection((HERE, cluster.ports[1]), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HERE) as secured,
    ):
        secured.sendall(line + b"\n")
        with secured.makefile("rb") as file:
            assert b'"refused"' in file.readline()
    assert "Traceback" not in cluster.log()


def test_door_speaks_no_tls_of_old(cluster: Cluster) -> None:
    context = talk.trusting(cluster.ca.read_text())
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(StoreUnavailable):
        talk.ask_any((cluster.door,), context, {"do": "authority"})


def _renew(cluster: Cluster, pair: tuple[Path, Path], request: str) -> dict[str, Any]:
    context = talk.trusting(cluster.ca.read_text(), certificate=pair[0], key=pair[1])
    return talk.ask_any((cluster.door,), context, {"do": "renew", "request": request})


def test_member_gets_a_new_certificate_for_its_key_and_stays_the_same(
    cluster: Cluster, tmp_path: Path
) -> None:
    certificate, key = cluster.join(cluster.token(), "renewer")
    said = _renew(cluster, (certificate, key), authority.request_of(key))
    renewed = tmp_path / "renewed.crt"
    renewed.write_text(said["certificate"])
    assert renewed.read_text() != certificate.read_text()
    assert said["authority"] == cluster.ca.read_text()
    with cluster.client(renewed, key) as client:
        client.values(b"/")


def test_nobody_renews_without_being_a_member_or_for_another_key(cluster: Cluster) -> None:
    pair = cluster.join(cluster.token(), "thief")
    other = cluster.issue("somebody", "0123456789abcdef")
    for shown, request in ((pair, other[1]), (other, other[1])):
        with pytest.raises(NotAdmitted) as refused:
            _renew(cluster, shown, authority.request_of(request))
        assert refused.value.reason is Refused.NO_MEMBER


def test_certificate_is_due_in_the_last_third_of_its_life(cluster: Cluster, tmp_path: Path) -> None:
    _, key = cluster.operator
    made = tmp_path / "short.crt"
    made.write_text(
        authority.sign(authority.request_of(key), authority=cluster.ca, key=cluster.ca_key, name="x", days=3)
    )
    now = time.time()
    assert not authority.due(made, now=now + 1.9 * 86_400)
    assert authority.due(made, now=now + 2.1 * 86_400)
    assert authority.due(made, now=now + 9 * 86_400)


def test_ended_certificate_is_refused_by_the_store_and_by_its_door(cluster: Cluster) -> None:
    certificate, key = cluster.join(cluster.token(), "sleeper")
    request = authority.request_of(key)
    id_ = authority.member_id(request)
    certificate.write_text(
        authority.sign(
            request, authority=cluster.ca, key=cluster.ca_key, name=id_, addresses=(HERE,), days=-1
        )
    )
    with cluster.client(certificate, key) as client:
        assert _code(lambda: client.values(b"/")) is grpc.StatusCode.UNAVAILABLE
    with pytest.raises((StoreUnavailable, HostError)):
        _renew(cluster, (certificate, key), request)


def test_store_whose_clock_is_off_keeps_leases_and_tells_a_host_that_joins(tmp_path: Path) -> None:
    off = Cluster(tmp_path, program=(*PROGRAM[:3], "-c", A_YEAR_AHEAD))
    try:
        off.start()
        token = off.token(lifetime=2 * 31_536_000)
        with off.client(*off.operator) as client:
            lease = client.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=600), timeout=30).ID
            client.put(b"/kept", b"1", lease=lease)
        with pytest.raises(
            HostError, match=r"this host's clock is 3\d+ s behind the store's host's: set the clock"
        ):
            off.join(token, "late")
        off.process.kill()
        off.program = PROGRAM  # its clock is set right, back by a year
        off.start()
        with off.client(*off.join(token, "late")) as client:
            assert client.values(b"/kept") == {b"/kept": b"1"}
            left = client.lease.LeaseTimeToLive(pb.LeaseTimeToLiveRequest(ID=lease), timeout=30).TTL
            assert 500 < left <= 600
    finally:
        off.process.kill()
