"""The versions of etcd whose users' rights hold: the table, and that a real etcd does what it says of its version.

`FLANPY_ETCD=/directory/with/etcd` runs the latter on another etcd than the suite's.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flanpy.doctor import etcd, etcd_versions
from flanpy.doctor.etcd_versions import MINIMAL, Version, holes, parsed, troubles
from flanpy.doctor.facts import EndpointSeen, Told
from flanpy.doctor.finding import Severity
from flanpy.doctor.registry import diagnose
from flanpy.model.problem import PROBLEMS
from flanpy.storeserver.rpc.maintenance import VERSION as STORE_VERSION
from integration.etcd.api import EtcdApi
from integration.net.namespaces import LabError
from tests.doctor.worlds import well
from tests.etcd_server import EtcdCluster

SECRET = "the crown jewels"
PREFIX = "/coreos.com/network/"


@pytest.mark.parametrize(
    ("version", "open_holes"),
    [
        ((3, 3, 27), 4), ((3, 4, 23), 4), ((3, 4, 42), 2), ((3, 4, 44), 1), ((3, 4, 99), 1),
        ((3, 5, 1), 4), ((3, 5, 16), 4), ((3, 5, 28), 2), ((3, 5, 30), 1), ((3, 5, 32), 1), ((3, 5, 33), 0),
        ((3, 6, 8), 4), ((3, 6, 9), 2), ((3, 6, 11), 1), ((3, 6, 13), 1), ((3, 6, 14), 0), ((3, 6, 16), 0),
        ((3, 7, 0), 1), ((3, 7, 1), 0), ((3, 8, 0), 0), ((4, 0, 0), 0),
    ],
)  # fmt: skip
def test_version_has_the_holes_that_were_fixed_after_it(version: Version, open_holes: int) -> None:
    assert len(holes(version)) == open_holes


def test_minimal_versions_are_the_first_without_any_trouble() -> None:
    for major, minor, patch in MINIMAL.values():
        assert troubles((major, minor, patch)) == ()
        assert patch > 0
        assert troubles((major, minor, patch - 1))
    assert any("no fixes since" in line for line in troubles((3, 4, 99)))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3.5.30", (3, 5, 30)),
        ("3.6.0-rc.1", (3, 6, 0)),
        ("3.5.16+dfsg\n", (3, 5, 16)),
        ("3.5", None),
        ("x", None),
        (STORE_VERSION, None),  # the embedded store is not an etcd with holes
    ],
)
def test_version_is_read_as_etcd_writes_it(text: str, version: Version | None) -> None:
    assert parsed(text) == version


def test_doctor_tells_of_an_old_etcd_only_where_users_have_rights() -> None:
    old = replace(well(), endpoints=(EndpointSeen(url="http://192.0.2.1:2379", version="3.5.32"),))
    assert diagnose(old) == ()
    (found,) = diagnose(replace(old, told=Told(etcd_user="flanpy")))
    assert found.id == "P34"
    assert found.evidence[0].startswith("http://192.0.2.1:2379: etcd 3.5.32: ")
    assert "3.5.33, 3.6.14 or 3.7.1" in found.cure
    unknown = replace(old, endpoints=(EndpointSeen(url="http://192.0.2.1:2379", version="unknown"),))
    assert diagnose(replace(unknown, told=Told(etcd_user="flanpy"))) == ()


@pytest.mark.parametrize("version", ["3.3.27", "3.4.23", "3.4.99"])
def test_doctor_notes_an_etcd_that_gets_no_fixes_where_nobody_has_rights(version: str) -> None:
    url = "http://192.0.2.1:2379"
    old = replace(well(), endpoints=(EndpointSeen(url=url, version=version),))
    (found,) = diagnose(old)
    assert (found.id, found.severity) == ("P34", Severity.NOTE)
    (line,) = found.evidence
    assert line.startswith(f"{url}: etcd {version}: etcd {version[:3]} ")
    assert line.endswith("no fixes since June 2026")
    (warned,) = diagnose(replace(old, told=Told(etcd_user="flanpy")))
    assert (warned.severity, warned.evidence[-1]) == (Severity.WARNING, line)


@pytest.mark.parametrize("version", ["3.5.1", "3.5.32", "3.6.0", "3.7.0", "3.8.0", STORE_VERSION])
def test_doctor_says_nothing_of_a_line_with_fixes_where_nobody_has_rights(version: str) -> None:
    seen = EndpointSeen(url="http://192.0.2.1:2379", version=version)
    assert diagnose(replace(well(), endpoints=(seen,))) == ()


class UserApi(EtcdApi):
    """A user of etcd that is not root, by the JSON gateway."""

    token = ""

    def log_in(self, name: str, password: str) -> None:
        self.token = str(self.call("/v3/auth/authenticate", {"name": name, "password": password})["token"])

    def _headers(self) -> dict[str, str]:
        return {**super()._headers(), **({"Authorization": self.token} if self.token else {})}


@pytest.fixture(scope="module")
def guarded() -> Iterator[EtcdCluster]:
    """An etcd with users: one has its prefix, and a key outside it is root's."""
    with EtcdCluster.started(password="root's") as cluster:
        cluster.api.put("/secret", SECRET)
        cluster.add_user("flanpy", "a-password", prefix=PREFIX)
        yield cluster


def _user(cluster: EtcdCluster) -> UserApi:
    api = UserApi("", cluster.members[0].eyes)
    api.log_in("flanpy", "a-password")
    return api


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _nested(request: dict[str, Any]) -> dict[str, Any]:
    return {"success": [{"requestTxn": {"success": [request]}}]}


def _passes(api: EtcdApi, path: str, body: dict[str, Any]) -> bool:
    try:
        api.call(path, body)
    except LabError:
        return False
    return True


def _version(cluster: EtcdCluster) -> Version:
    (seen,) = etcd.endpoints(cluster.urls, {})
    version = parsed(seen.version)
    assert version is not None, seen
    return version


@pytest.mark.etcd
def test_plain_read_outside_the_prefix_is_refused_by_every_etcd(guarded: EtcdCluster) -> None:
    assert not _passes(_user(guarded), "/v3/kv/range", {"key": _coded("/secret")})


@pytest.mark.etcd
@pytest.mark.parametrize(
    "request_",
    [{"requestRange": {"key": _coded("/secret")}}, {"requestPut": {"key": _coded("/mine"), "value": ""}}],
)
def test_nested_transaction_passes_exactly_where_the_table_says_so(
    guarded: EtcdCluster, request_: dict[str, Any]
) -> None:
    is_open = any(hole.id.startswith("CVE-2026-33343") for hole in holes(_version(guarded)))
    assert _passes(_user(guarded), "/v3/kv/txn", _nested(request_)) == is_open


@pytest.mark.etcd
def test_lease_without_a_login_is_granted_exactly_where_the_table_says_so(guarded: EtcdCluster) -> None:
    stranger = UserApi("", guarded.members[0].eyes)
    is_open = any(hole.id.startswith("CVE-2026-33413") for hole in holes(_version(guarded)))
    assert _passes(stranger, "/v3/lease/grant", {"TTL": 60}) == is_open


@pytest.mark.etcd
def test_value_before_a_put_is_read_exactly_where_the_table_says_so(guarded: EtcdCluster) -> None:
    """The user may write one key more than it may read."""
    root = guarded.api
    root.put("/written", SECRET)
    permission = {"permType": "WRITE", "key": _coded("/written")}
    root.call("/v3/auth/role/grant", {"name": "flanpy-role", "perm": permission})
    put = {"requestPut": {"key": _coded("/written"), "value": "", "prev_kv": True}}
    is_open = any(hole.id.startswith("CVE-2026-44283") for hole in holes(_version(guarded)))
    assert _passes(_user(guarded), "/v3/kv/txn", {"success": [put]}) == is_open


def test_advice_names_every_minimal_version() -> None:
    assert etcd_versions.advice() == "3.5.33, 3.6.14 or 3.7.1, or a later one of these lines"
    assert etcd_versions.advice() in PROBLEMS["P34"].cure
