"""aws-vpc and gce on whole hosts: three networks behind a router whose routes follow the emulated provider's table."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanpy.doctor.permissions import needed
from integration.cloud.gce_side import GceSide
from integration.cloud.lab_side import LabAws
from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, unreached
from tests.lab.backend_side import condition, rows
from tests.lab.cloud_side import DENIED, FLANNELS, Site
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually, never, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

STRANGER = "10.99.1.77"
"""An address of the underlay that no host of the lab has."""


@pytest.fixture(scope="module", params=["aws-vpc", "gce"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Lab(3, segments=3) as lab:
        yield Site.build(lab, request.param)


def test_flannels_hosts_are_taken_over_under_a_stream_and_their_routes_stay_as_they_are(site: Site) -> None:
    assert site.taken_over.whole
    assert {host.name: str(host.subnet_file.subnet.network) for host in site.lab.hosts} == FLANNELS
    changed = {
        name: times - site.before.get(name, 0)
        for name, times in site.cloud.do(lambda side: side.calls()).items()
        if name
        in {"CreateRoute ok", "ReplaceRoute ok", "DeleteRoute ok", "routes.insert ok", "routes.delete ok"}
    }
    assert not any(changed.values()), changed


def test_containers_reach_each_other_by_the_providers_router_at_the_underlays_mtu(site: Site) -> None:
    site.settled()
    lab, (one, two, _) = site.lab, site.lab.hosts
    assert [host.subnet_file.mtu for host in lab.hosts] == [1500] * 3
    assert one.containers[0].ping(two.containers[0], size=1472).ok
    assert [standing(lab, host) for host in lab.hosts] == [set()] * 3  # nothing is made on a host
    ways = {"h1": "", "h2": "provider", "h3": "provider"}
    eventually(lambda: {name: row["way"] for name, row in rows(one).items()} == ways, lambda: rows(one))
    assert rows(one)["h2"]["way_reason"] == "by gateway 10.99.0.1 on eth0"
    entry = next(e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if '"h1"' in e.value)
    value = json.loads(entry.value)
    target = site.cloud.targets["h1"]
    assert (value["BackendType"], value["BackendData"]) == (site.cloud.backend, {"Target": target})
    metrics = one.daemon.metrics()
    assert "flanpy_cloud_route_standing 1.0" in metrics
    assert "flanpy_cloud_age_seconds" in metrics


def test_provider_that_is_down_disturbs_no_packet_and_a_restart_meanwhile_is_ready(site: Site) -> None:
    site.settled()
    one, two, _ = site.lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        site.fail(down=True)
        eventually(lambda: condition(one, "CloudRoutes")["reason"] == "Unreachable", "told", deadline=10)
        one.daemon.kill()
        site.start(one)
        assert stream.stop().whole
    site.settled()


@pytest.mark.parametrize(
    ("fault", "reason", "outcome"),
    [
        ({"full": True}, "TableFull", ""),
        ({"deny": True}, "PermissionMissing", "denied"),
        ({"per_second": 0.001}, "Throttled", "throttled"),
        ({"garbage": True}, None, "error"),
        ({"slow": 0.5}, None, "ok"),
    ],
    ids=["full", "denied", "throttled", "malformed", "slow"],
)
def test_route_deleted_by_hand_is_put_back_once_the_provider_lets_us(
    site: Site, fault: dict[str, object], reason: str | None, outcome: str
) -> None:
    site.settled()
    one, subnet = site.lab.hosts[0], FLANNELS["h1"]
    action, word = DENIED[site.cloud.backend]
    site.fail(**({"deny": [action]} if "deny" in fault else fault))
    site.cloud.do(lambda side: side.delete(subnet))
    if "slow" not in fault:
        eventually(
            lambda: (
                (said := condition(one, "CloudRoutes"))["healthy"] is False
                and reason in {None, said["reason"]}
            ),
            lambda: condition(one, "CloudRoutes"),
            deadline=10,
        )
        assert subnet not in site.routes()
        assert "deny" not in fault or word in condition(one, "CloudRoutes")["message"]
    eventually(lambda: f'outcome="{outcome}' in one.daemon.metrics(), "counted", deadline=10)
    site.settled()


def test_doctor_prints_what_is_to_be_granted_and_names_a_host_that_may_not_forward(site: Site) -> None:
    site.settled()
    one = site.lab.hosts[0]
    site.fail(deny=[DENIED[site.cloud.backend][0]])
    site.cloud.do(lambda side: side.delete(FLANNELS["h1"]))
    eventually(lambda: condition(one, "CloudRoutes")["reason"] == "PermissionMissing", "told", deadline=10)
    assert needed(site.cloud.backend) in site.ctl(one, "doctor", code=5)
    site.settled()
    site.may_forward(one, allowed=False)
    eventually(lambda: condition(one, "CloudRoutes")["reason"] == "HostUnfit", "told", deadline=10)
    cure = {"aws-vpc": "--no-source-dest-check", "gce": "--can-ip-forward"}[site.cloud.backend]
    assert cure in condition(one, "CloudRoutes")["cure"]
    site.may_forward(one, allowed=True)
    site.settled()


def test_black_hole_in_place_of_our_route_is_replaced(site: Site) -> None:
    site.settled()
    subnet = FLANNELS["h1"]
    stranger = site.cloud.do(lambda side: side.add_host(STRANGER, called="stranger"))
    gone = stranger.rpartition("/")[2]
    site.fail(down=True, gone=[gone])
    site.cloud.do(lambda side: side.delete(subnet))
    site.cloud.do(lambda side: side.put(subnet, stranger))
    eventually(lambda: len(unreached(site.lab.containers)) > 0, "packets vanish", deadline=10)
    site.fail(gone=[gone])
    eventually(lambda: site.routes() == site.wanted(), site.routes, deadline=20)
    site.settled()


def test_network_moves_to_vxlan_to_another_provider_and_back_under_a_stream(site: Site) -> None:
    site.settled()
    one, two, _ = site.lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        site.move("vxlan")
        eventually(lambda: site.routes() == {}, site.routes, deadline=20)
        assert any(line.startswith("link") for line in standing(site.lab, one))
        site.move(site.cloud.backend)
        eventually(lambda: standing(site.lab, one) == set(), lambda: standing(site.lab, one), deadline=20)
        site.move(site.other.backend)
        eventually(lambda: site.routes() == {}, site.routes, deadline=20)
        eventually(
            lambda: site.routes(site.other) == site.wanted(site.other),
            lambda: site.routes(site.other),
            deadline=20,
        )
        site.set_backend("vxlan")  # and no time to arrive
        site.move(site.cloud.backend)
        eventually(lambda: site.routes(site.other) == {}, lambda: site.routes(site.other), deadline=20)
        site.settled()
        assert stream.stop().whole
    for host in site.lab.hosts:
        eventually(lambda host=host: _made(host) == [site.cloud.backend], lambda host=host: _made(host))  # type: ignore[misc]


def _made(host: Host) -> list[str]:
    """Return the backends of the routes that the host remembers to have made."""
    found = json.loads((host.daemon.state_dir / "cloud.json").read_text())
    return [made["backend"] for made in found["routes"]]


def test_drained_host_takes_its_route_along_and_undrained_makes_it_again(site: Site) -> None:
    site.settled()
    two, subnet = site.lab.hosts[1], FLANNELS["h2"]
    site.ctl(two, "drain", "--force")
    eventually(lambda: subnet not in site.routes(), site.routes, deadline=10)
    site.ctl(two, "drain", "--undo")
    site.settled()


def test_route_of_a_host_that_died_for_good_is_removed_once_its_lease_is_gone(site: Site) -> None:
    site.settled()
    lab, three, subnet = site.lab, site.lab.hosts[2], FLANNELS["h3"]
    three.daemon.kill()
    never(lambda: subnet not in site.routes(), "a route goes while its lease stands", seconds=3)
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/{subnet.replace('/', '-')}")
    eventually(lambda: subnet not in site.routes(), site.routes, deadline=15)
    assert len(site.routes()) == 2
    eventually(lambda: not lab.etcd.api.list(f"{ETCD_PREFIX}/cloud/removing/"), "no claim is left")
    site.start(three)
    site.settled()


def test_cleanup_removes_the_route_that_a_stopped_daemon_left_unless_etcd_cannot_be_asked(site: Site) -> None:
    site.settled()
    one, subnet = site.lab.hosts[0], FLANNELS["h1"]
    one.daemon.stop()
    file = f"--subnet-file={one.daemon.subnet_path}"
    etcd = site.lab.etcd
    etcd.stop()
    said = site.ctl(one, "cleanup", "--yes", "--keep-subnet-file")
    assert "could not be claimed in etcd" in said
    assert (subnet in site.routes(), (one.daemon.state_dir / "cloud.json").exists()) == (True, True)
    etcd.start()
    said = site.ctl(one, "cleanup", "--yes", file)
    assert f"{subnet} -> {site.cloud.targets['h1']}" in said
    eventually(lambda: subnet not in site.routes(), site.routes)
    assert not (one.daemon.state_dir / "cloud.json").exists()
    site.start(one)
    site.settled()


def test_no_secret_of_the_provider_is_written_or_told_anywhere(site: Site) -> None:
    """Runs last: what the faults above had the daemons say at level debug is searched, too."""
    site.settled()
    one = site.lab.hosts[0]
    for fault in ({"deny": [DENIED[site.cloud.backend][0]]}, {"garbage": True}):
        site.fail(**fault)
        site.cloud.do(lambda side: side.delete(FLANNELS["h1"]))
        eventually(lambda: condition(one, "CloudRoutes")["healthy"] is False, "told", deadline=10)
        eventually(lambda: "cloud_call_failed" in one.daemon.log.read_text(), "the log says so")
        site.settled()
    archive = one.daemon.directory / "diag.tar.gz"
    told = "".join([
        site.ctl(one, "status", "-o", "json"), one.daemon.metrics(), site.ctl(one, "diag", "-f", str(archive)),
        *(item.value for item in site.lab.etcd.api.list(ETCD_PREFIX)),
    ])  # fmt: skip
    files = [path for path in site.lab.directory.rglob("*") if path.is_file()]
    for secret in site.cloud.side.secrets:
        assert secret not in told
        assert [path for path in files if _holds(path, secret)] == []
    if isinstance(site.cloud.side, GceSide):  # the lab's requests are what Google's own description allows
        assert site.cloud.do(lambda _: site.cloud.side.violations()) == []  # type: ignore[attr-defined]


def _holds(path: Path, secret: str) -> bool:
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            parts = [archive.extractfile(member) for member in archive.getmembers() if member.isfile()]
            return any(secret.encode() in part.read() for part in parts if part is not None)
    return secret.encode() in path.read_bytes()


def test_hosts_on_one_link_go_direct_and_their_routes_stand_all_the_same(build_lab: BuildLab) -> None:
    lab = build_lab(4, segments=3)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "aws-vpc", "DirectRouting": True}})
    aws = LabAws(lab)
    aws.start(*lab.hosts)
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=10)
    # Packets pass by the router before the host knows its peers.
    ways = {"h1": "", "h2": "direct", "h3": "provider", "h4": "provider"}
    one = lab.hosts[0]
    eventually(lambda: {name: row["way"] for name, row in rows(one).items()} == ways, lambda: rows(one))
    eventually(lambda: len(aws.do(lambda side: side.routes())) == 4, "every host has its route", deadline=20)
