"""aws-vpc on whole hosts: three networks behind a router whose routes follow the emulated provider's table."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from integration.cloud.lab_side import LabAws
from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, flanpyctl, unreached
from tests.lab.backend_side import condition, moving_from, rows
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually, never, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

CLOUD = {"Network": NETWORK, "Backend": {"Type": "aws-vpc"}}
FLANNELS = "10.50.77.0/24"


class Site:
    """A lab whose hosts and containers are up, with its provider."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.configure(CLOUD)
        self.aws = LabAws(lab)
        self._as_flannel_left_it(lab.hosts[2])
        self.aws.start(*lab.hosts)
        lab.attach_containers()

    def _as_flannel_left_it(self, host: Host) -> None:
        """Leave the lease of a flannel host (v0.19.2 writes no BackendType), and the route that it made."""
        value = {"PublicIP": host.address, "PublicIPv6": None}
        self.lab.etcd.api.put(
            f"{ETCD_PREFIX}/subnets/{FLANNELS.replace('/', '-')}",
            json.dumps(value),
            lease=self.lab.etcd.api.grant(86_400),
        )
        host.daemon.subnet_path.write_text(
            f"FLANNEL_NETWORK={NETWORK}\nFLANNEL_SUBNET=10.50.77.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n"
        )
        self.aws.do(lambda aws: aws.put(FLANNELS, self.aws.interfaces[host.name]))

    def routes(self) -> dict[str, str]:
        return self.aws.do(lambda aws: aws.routes())

    def wanted(self) -> dict[str, str]:
        return {
            str(host.subnet_file.subnet.network): self.aws.interfaces[host.name] for host in self.lab.hosts
        }

    def settled(self) -> None:
        """Wait until every host's route stands and all containers reach each other."""
        self.aws.do(lambda aws: aws.fail())
        eventually(
            lambda: self.routes() == self.wanted(), lambda: (self.routes(), self.wanted()), deadline=20
        )
        for host in self.lab.hosts:
            eventually(
                lambda host=host: condition(host, "CloudRoutes")["reason"] == "Standing",  # type: ignore[misc]
                lambda host=host: condition(host, "CloudRoutes"),  # type: ignore[misc]
                deadline=20,
            )
        eventually(
            lambda: unreached(self.lab.containers) == (), lambda: unreached(self.lab.containers), deadline=10
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Lab(3, segments=3) as lab:
        yield Site(lab)


def test_containers_reach_each_other_by_the_providers_router_at_the_underlays_mtu(site: Site) -> None:
    site.settled()
    lab, (one, two, _) = site.lab, site.lab.hosts
    assert [host.subnet_file.mtu for host in lab.hosts] == [1500] * 3
    assert one.containers[0].ping(two.containers[0], size=1472).ok
    assert [standing(lab, host) for host in lab.hosts] == [set()] * 3  # nothing is made on a host
    assert {row["way"] for row in rows(one).values()} == {"", "provider"}
    assert rows(one)["h2"]["way_reason"] == "by gateway 10.99.0.1 on eth0"
    # taken over from flannel: the same subnet, and the route as it was
    assert str(lab.hosts[2].subnet_file.subnet.network) == FLANNELS
    assert not any(site.aws.do(lambda aws, eni=eni: aws.checks(eni)) for eni in site.aws.interfaces.values())  # type: ignore[misc]
    entry = next(e for e in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/") if '"h1"' in e.value)
    value = json.loads(entry.value)
    assert (value["BackendType"], value["BackendData"]) == ("aws-vpc", {"Target": site.aws.interfaces["h1"]})
    metrics = one.daemon.metrics()
    assert 'flanpy_cloud_calls_total{action="ec2:CreateRoute",outcome="ok"}' in metrics
    assert "flanpy_cloud_route_standing 1.0" in metrics


def test_provider_that_is_down_disturbs_no_packet_and_a_restart_meanwhile_is_ready(site: Site) -> None:
    site.settled()
    one, two, _ = site.lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        site.aws.do(lambda aws: aws.fail(down=True))
        eventually(lambda: condition(one, "CloudRoutes")["reason"] == "Unreachable", "told", deadline=10)
        assert "Unavailable: The service is down." in condition(one, "CloudRoutes")["message"]
        one.daemon.kill()
        site.aws.start(one)
        assert stream.stop().whole
    site.settled()


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"full": True}, "TableFull"),
        ({"deny": ["CreateRoute"]}, "PermissionMissing"),
        ({"per_second": 0.001}, "Throttled"),
        ({"slow": 0.5}, None),
    ],
)
def test_route_deleted_by_hand_is_put_back_once_the_provider_lets_us(
    site: Site, faults: dict[str, object], reason: str | None
) -> None:
    site.settled()
    one = site.lab.hosts[0]
    subnet = str(one.subnet_file.subnet.network)
    site.aws.do(lambda aws: aws.fail(**faults))
    site.aws.do(lambda aws: aws.delete(subnet))
    if reason is not None:
        eventually(
            lambda: condition(one, "CloudRoutes")["reason"] == reason,
            lambda: condition(one, "CloudRoutes"),
            deadline=10,
        )
        assert subnet not in site.routes()
    site.settled()


def test_network_moves_to_vxlan_and_back_under_a_stream(site: Site) -> None:
    site.settled()
    one, two, _ = site.lab.hosts
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        _move(site, "vxlan")
        eventually(lambda: site.routes() == {}, site.routes, deadline=20)
        assert any(line.startswith("link") for line in standing(site.lab, one))
        _move(site, "aws-vpc")
        eventually(lambda: site.routes() == site.wanted(), site.routes, deadline=20)
        eventually(lambda: standing(site.lab, one) == set(), lambda: standing(site.lab, one))
        assert stream.stop().whole
    site.settled()


def _move(site: Site, backend: str) -> None:
    lab = site.lab
    config = json.dumps({"Network": NETWORK, "Backend": {"Type": backend}})
    lab.hosts[0].run(*flanpyctl(), "network", "set", "-", stdin=config)

    def said() -> set[str]:
        return {json.loads(one.value)["BackendType"] for one in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/")}

    eventually(lambda: said() == {backend}, said, deadline=30)
    for host in lab.hosts:
        eventually(lambda host=host: moving_from(host) is None, f"{host.name} has arrived", deadline=30)  # type: ignore[misc]


def test_drained_host_takes_its_route_along_and_undrained_makes_it_again(site: Site) -> None:
    site.settled()
    two = site.lab.hosts[1]
    subnet = str(two.subnet_file.subnet.network)
    two.run(*flanpyctl(), "drain", "--force")
    eventually(lambda: subnet not in site.routes(), site.routes, deadline=10)
    two.run(*flanpyctl(), "drain", "--undo")
    site.settled()


def test_route_of_a_host_that_died_for_good_is_removed_once_its_lease_is_gone(site: Site) -> None:
    site.settled()
    lab, three = site.lab, site.lab.hosts[2]
    three.daemon.kill()
    never(lambda: FLANNELS not in site.routes(), "a route goes while its lease stands", seconds=3)
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/{FLANNELS.replace('/', '-')}")
    eventually(lambda: FLANNELS not in site.routes(), site.routes, deadline=15)
    assert len(site.routes()) == 2
    assert not lab.etcd.api.list(f"{ETCD_PREFIX}/cloud/removing/")
    site.aws.start(three)
    site.settled()


def test_cleanup_removes_the_route_that_a_stopped_daemon_left(site: Site) -> None:
    site.settled()
    one = site.lab.hosts[0]
    subnet = str(one.subnet_file.subnet.network)
    one.daemon.stop()
    assert subnet in site.routes()
    words = [f"env {name}={value}" for name, value in site.aws.environment.items()]
    argv = [word for pair in words for word in pair.split(" ", 1)]
    said = one.run(*argv, *flanpyctl(), "cleanup", "--yes", f"--subnet-file={one.daemon.subnet_path}")
    assert f"{subnet} -> {site.aws.interfaces['h1']}" in said.stdout
    eventually(lambda: subnet not in site.routes(), site.routes)
    site.aws.start(one)


def test_hosts_on_one_link_go_direct_and_their_routes_stand_all_the_same(build_lab: BuildLab) -> None:
    lab = build_lab(4, segments=3)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "aws-vpc", "DirectRouting": True}})
    aws = LabAws(lab)
    aws.start(*lab.hosts)
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=10)
    ways = {name: row["way"] for name, row in rows(lab.hosts[0]).items()}
    assert ways == {"h1": "", "h2": "direct", "h3": "provider", "h4": "provider"}
    assert len(aws.do(lambda side: side.routes())) == 4
