"""Doctor asks the embedded store, which has no HTTP, and suggests an etcd where too many hosts meet at it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from flanpy.doctor import etcd
from flanpy.doctor.facts import EndpointSeen, Facts
from flanpy.doctor.finding import Severity
from flanpy.doctor.registry import diagnose
from flanpy.storeserver.rpc.maintenance import VERSION
from tests.doctor.worlds import well
from tests.etcd_server import EmbeddedStore

ADVICE = "many hosts meet at one copy of the store"


@pytest.mark.etcd
@pytest.mark.parametrize("client_certs", [False, True])
def test_embedded_store_that_serves_is_well_and_names_itself(client_certs: bool) -> None:
    with EmbeddedStore.started(client_certs=client_certs) as store:
        settings = store.settings()
        named = (
            ("cafile", settings.ca_file),
            ("certfile", settings.cert_file),
            ("keyfile", settings.key_file),
        )
        files = {name: str(path) for name, path in named if path is not None}
        (seen,) = etcd.endpoints(store.urls, files)
        assert (seen.problem, seen.version) == ("", VERSION)
        store.kill()
        (gone,) = etcd.endpoints(store.urls, files)
        assert gone.problem == "Connection refused"


def _with_hosts(number: int, version: str) -> Facts:
    facts = well()
    answers = deepcopy(dict(facts.answers))
    (row, *_) = answers["subnets"]["subnets"]
    rows = [{**row, "subnet": f"10.50.{one}.0/24", "node_id": f"node-{one}"} for one in range(number)]
    answers["subnets"]["subnets"] = rows
    return replace(
        facts, answers=answers, endpoints=(EndpointSeen(url="https://192.0.2.1:2379", version=version),)
    )


@pytest.mark.parametrize(
    ("hosts", "version", "advised"), [(51, VERSION, True), (50, VERSION, False), (200, "3.5.33", False)]
)
def test_etcd_is_suggested_above_fifty_hosts(hosts: int, version: str, advised: bool) -> None:
    found = [one for one in diagnose(_with_hosts(hosts, version)) if one.title == ADVICE]
    assert [one.severity for one in found] == [Severity.NOTE] * advised
    assert all("flanpyctl store move --to" in one.cure for one in found)
