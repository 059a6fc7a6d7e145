"""Named networks on real engines: one subnet on two hosts, containers that reach each other, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from integration.hosts.engines import DockerHost, DockerLab, EngineContainer
from integration.lab import NETWORK
from integration.net.namespaces import run_in
from integration.traffic.pairs import Probe
from tests.docker_logs import standing
from tests.engines.named_hosts import (
    DEADLINE_S,
    address6,
    assert_none_lost,
    box,
    flat_ports,
    in_docker,
    in_docker_here,
    is_joined,
    move,
    pings,
    ready,
    reboot,
    remove,
    run,
    shown,
    stands,
    status,
    vni,
)
from tests.engines.overlay_hosts import ENGINES
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SHOP6, LAB6 = "fd00:96::/64", "fd00:97::/64"
MOVED_S = 3.0
"""Without an announcement it takes 300 s on engines up to 27."""

HEALED_S = 5.0
"""A repair takes well under a second; the rest is for a machine that stands still."""


@pytest.fixture(scope="module", params=ENGINES)
def lab(request: pytest.FixtureRequest) -> Iterator[DockerLab]:
    """Two hosts with flanpyd and Docker on the overlay's subnet, and two named networks in Docker."""
    with DockerLab(2, engine=request.param) as made, standing(made):
        for host in made.hosts:
            host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
            host.engine.start(daemon_json={"live-restore": True})
        made.configure()
        for host in made.hosts:
            host.daemon.launch("--ip-masq", "--host-label", f"rack-{host.name}")
        for host in made.hosts:
            host.daemon.wait_ready()
            host.flanpyctl("docker", "apply", "--restart", "always")
        made.hosts[0].flanpyctl("networks", "create", "shop", "10.96.0.0/16", "--ipv6", SHOP6)
        made.hosts[1].flanpyctl(
            "networks", "create", "lab", "10.97.0.0/20", "--slice-size", "26", "--internal", "--ipv6", LAB6
        )
        for host in made.hosts:
            in_docker(host, "shop", "lab")
        yield made


def test_containers_of_a_network_reach_each_other_across_hosts_and_nobody_else(lab: DockerLab) -> None:
    here, there = lab.hosts
    db, web = box(here, "db", "shop"), box(there, "web", "shop")
    alone, flat, far = box(there, "alone", "lab"), box(there, "flat", ""), box(here, "far", "")
    eventually(
        lambda: pings(db, web.address("shop")), lambda: here.run("bridge", "fdb").stdout, deadline=DEADLINE_S
    )
    assert pings(web, db.address("shop"))
    assert pings(web, db.address("shop"), size=1422)
    eventually(lambda: pings(far, flat.address()), "the flat overlay does not work", deadline=DEADLINE_S)
    for source, target in (
        (db, alone.address("lab")),
        (alone, db.address("shop")),
        (db, flat.address()),
        (flat, db.address("shop")),
        (web, flat.address()),
        (flat, web.address("shop")),
        (far, web.address("shop")),
        (alone, flat.address()),
    ):
        assert not pings(source, target), f"{source.name} reaches {target}"


def test_ipv6_reaches_across_hosts_and_no_other_named_network_of_the_same_host(lab: DockerLab) -> None:
    here, there = lab.hosts
    one, far = box(here, "one6", "shop"), box(there, "far6", "shop")
    eventually(
        lambda: pings(one, address6(far, "shop")),
        lambda: here.run("bridge", "fdb").stdout,
        deadline=DEADLINE_S,
    )
    assert pings(far, address6(one, "shop"), size=1402)
    other = box(there, "other6", "lab")
    gateway = str(ip_network(there.engine.inspect("network", "lab")["IPAM"]["Config"][1]["IPRange"])[1])
    run_in(other.as_end().namespace, ("ip", "-6", "route", "replace", "default", "via", gateway))
    assert pings(other, gateway)
    for source, target in ((other, address6(far, "shop")), (far, address6(other, "lab"))):
        assert not pings(source, target), f"{source.name} reaches {target}"
    remove(one, far, other)


def test_network_is_on_the_hosts_that_its_list_says_and_no_others(lab: DockerLab) -> None:
    here, there = lab.hosts
    here.flanpyctl("networks", "create", "few", "10.98.0.0/16", "--hosts", f"rack-{here.name}")
    number = vni(here, "few")

    def are_on(*hosts: DockerHost) -> bool:
        slices = json.loads(here.flanpyctl("networks", "show", "few", "-o", "json").stdout)["slices"]
        links = [
            one for one in lab.hosts if one.run("ip", "link", "show", f"fv-{number}", check=False).stdout
        ]
        return len(slices) == len(hosts) and links == list(hosts)

    def shown() -> str:
        return here.flanpyctl("networks", "show", "few").stdout

    eventually(lambda: are_on(here), shown, deadline=DEADLINE_S)
    there.flanpyctl("networks", "attach", "few")
    eventually(lambda: are_on(here, there), shown, deadline=DEADLINE_S)
    in_docker(there, "few")
    there.flanpyctl("networks", "leave", "few")
    eventually(lambda: are_on(here), shown, deadline=DEADLINE_S)
    assert there.flanpyctl("docker", "networks").returncode == 0
    assert there.engine.docker("network", "ls", "-q", "--filter", "name=few").stdout == ""
    here.flanpyctl("networks", "rm", "few")
    eventually(
        lambda: (
            not any(one.run("ip", "link", "show", f"fv-{number}", check=False).stdout for one in lab.hosts)
        ),
        "a device stayed",
        deadline=DEADLINE_S,
    )


@pytest.mark.parametrize("address", ["10.96.77.5", "fd00:96::77:5"])
def test_address_that_moves_to_another_host_is_reached_there_at_once_though_it_is_silent(
    lab: DockerLab, address: str
) -> None:
    here, there = lab.hosts
    options = ("--network", "shop", "--ip", "10.96.77.5", "--ip6", "fd00:96::77:5")
    near, far = box(here, "near", "shop"), box(there, "far", "shop")
    moving = there.engine.run_container("moving", *options)
    eventually(lambda: pings(near, address) and pings(far, address), "not reached", deadline=DEADLINE_S)
    for host in (here, there):
        moving.remove()
        moving = host.engine.run_container("moving", *options)
        eventually(
            lambda: pings(near, address) and pings(far, address),
            lambda: here.run("bridge", "fdb").stdout,
            deadline=MOVED_S,
        )
    remove(near, far, moving)


def test_container_goes_over_from_an_old_network_without_a_restart(lab: DockerLab) -> None:
    here, there = lab.hosts
    here.engine.docker("network", "create", "old")
    moving, far = box(here, "moving", "old"), box(there, "far", "shop")
    namespace = moving.as_end("old").namespace
    here.engine.docker("network", "connect", "shop", "moving")
    eventually(lambda: pings(far, moving.address("shop")), "not reached", deadline=DEADLINE_S)
    here.engine.docker("network", "disconnect", "old", "moving")
    assert pings(moving, far.address("shop"))
    assert moving.as_end("shop").namespace == namespace
    remove(moving, far)
    here.engine.docker("network", "rm", "old")


BREAKS = {
    "device deleted": "ip link del fv-{vni}",
    "device taken out of the bridge": "ip link set fv-{vni} nomaster",
    "device put into another bridge": "ip link set fv-{vni} master docker0",
    "device down": "ip link set fv-{vni} down",
    "flood entries flushed": "bridge fdb del 00:00:00:00:00:00 dev fv-{vni} dst {there}",
}


def test_what_somebody_breaks_is_healed_at_once(lab: DockerLab) -> None:
    here, there = lab.hosts
    number = vni(here, "shop")
    for title, command in BREAKS.items():
        here.run(*command.format(vni=number, there=there.address).split())
        eventually(lambda: is_joined(here, "shop"), f"not healed: {title}", deadline=HEALED_S)


def test_no_datagram_is_lost_while_docker_flanpyd_and_etcd_are_killed_and_come_back(lab: DockerLab) -> None:
    here, there = lab.hosts
    one, two = box(here, "one", "shop"), box(there, "two", "shop")
    eventually(lambda: pings(one, two.address("shop")), "not reached", deadline=DEADLINE_S)
    with Probe(one.as_end("shop"), two.as_end("shop")) as probe:
        for host in lab.hosts:
            host.engine.kill()
            host.engine.start()
            host.daemon.kill()
            host.daemon.relaunch()
            host.daemon.wait_ready()
        lab.etcd.restart()
        for host in lab.hosts:
            in_docker(host, "shop")
        report = probe.stop()
    assert_none_lost(report)


def test_containers_start_and_talk_while_flanpyd_and_etcd_are_away(lab: DockerLab) -> None:
    here, there = lab.hosts
    for host in lab.hosts:
        host.daemon.kill()
    lab.etcd.stop()
    one, two = box(here, "early", "shop"), box(there, "late", "shop")
    try:
        eventually(lambda: pings(one, two.address("shop")), "not reached", deadline=DEADLINE_S)
        eventually(lambda: pings(two, address6(one, "shop")), "not by IPv6", deadline=DEADLINE_S)
        two.remove()
        two = box(there, "late", "shop")
        eventually(lambda: pings(two, one.address("shop")), "not reached again", deadline=DEADLINE_S)
    finally:
        lab.etcd.start()
        for host in lab.hosts:
            host.daemon.relaunch()
        for host in lab.hosts:
            host.daemon.wait_ready()
    remove(one, two)


def test_frozen_etcd_keeps_no_container_from_starting_and_talking(lab: DockerLab) -> None:
    here, there = lab.hosts
    lab.etcd.freeze()
    try:
        one, two = box(here, "cold", "shop"), box(there, "ice", "shop")
        assert pings(one, two.address("shop"))
        assert pings(two, one.address("shop"))
    finally:
        lab.etcd.thaw()
    remove(one, two)


def test_wiped_etcd_gets_the_networks_and_their_slices_back(lab: DockerLab) -> None:
    here, there = lab.hosts
    before = {host.name: shown(host, "shop") for host in lab.hosts}
    one, two = box(here, "before", "shop"), box(there, "after", "shop")
    eventually(lambda: pings(one, two.address("shop")), "not reached", deadline=DEADLINE_S)
    with Probe(one.as_end("shop"), two.as_end("shop")) as probe:
        lab.etcd.wipe()
        lab.configure()
        eventually(
            lambda: {host.name: shown(host, "shop") for host in lab.hosts} == before,
            lambda: here.flanpyctl("networks", check=False),
            deadline=30.0,
        )
        report = probe.stop()
    assert_none_lost(report)
    for host in lab.hosts:
        assert is_joined(host, "shop")
    remove(one, two)


def test_move_of_the_flat_backend_and_back_costs_a_named_network_nothing(lab: DockerLab) -> None:
    here, there = lab.hosts
    one, far, flat = box(here, "steady", "shop"), box(there, "away", "shop"), box(there, "level", "")
    with Probe(one.as_end("shop"), far.as_end("shop")) as probe:
        probe.wait_flowing()
        move(lab, "host-gw")
        assert pings(far, one.address("shop"), size=1422)
        assert not pings(one, flat.address())
        assert not pings(flat, one.address("shop"))
        for port in (4789, 8472):
            lab.configure({"Network": NETWORK, "Backend": {"Type": "vxlan", "Port": port}})
            eventually(lambda port=port: flat_ports(lab) == {port}, lambda: flat_ports(lab), deadline=30.0)  # type: ignore[misc]
            assert pings(far, one.address("shop"), size=1422)
        report = probe.stop()
    assert_none_lost(report)
    remove(one, far, flat)


def test_named_network_beside_a_flat_one_on_udp_reaches_and_stays_apart(lab: DockerLab) -> None:
    here, there = lab.hosts
    one, far = box(here, "beside", "shop"), box(there, "yonder", "shop")
    near, flat = box(here, "nearby", ""), box(there, "level", "")
    move(lab, "udp")
    eventually(lambda: pings(one, far.address("shop"), size=1422), "not reached", deadline=DEADLINE_S)
    eventually(lambda: pings(near, flat.address()), "no flat overlay", deadline=DEADLINE_S)
    with Probe(one.as_end("shop"), far.as_end("shop")) as probe:
        probe.wait_flowing()
        assert not pings(one, flat.address())
        assert not pings(flat, one.address("shop"))
        here.daemon.restart(*here.daemon.extra[0])
        report = probe.stop()
    assert_none_lost(report)
    move(lab, "vxlan")
    remove(one, far, near, flat)


def test_host_whose_docker_is_away_stands_by_and_says_so_in_one_line(lab: DockerLab) -> None:
    here, there = lab.hosts
    there.engine.stop()
    try:
        here.flanpyctl("networks", "create", "soon", "10.94.0.0/16")
        port = f"fv-{vni(here, 'soon')}"
        eventually(
            lambda: "UP" in there.run("ip", "link", "show", port, check=False).stdout,
            port,
            deadline=DEADLINE_S,
        )
        assert "master" not in there.run("ip", "link", "show", port).stdout
        eventually(lambda: ready(there)["reason"] == "NoDocker", lambda: ready(there), deadline=DEADLINE_S)
        assert ready(there)["message"] == "Docker does not run: soon will be there when it does"
        done = there.flanpyctl("docker", "networks", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
        assert "docker.sock" in done.stderr
    finally:
        there.engine.start()
    in_docker(there, "soon")
    eventually(lambda: ready(there)["reason"] == "Ready", lambda: ready(there), deadline=DEADLINE_S)
    here.flanpyctl("networks", "rm", "soon")
    eventually(lambda: not stands(there, port), "it stays", deadline=DEADLINE_S)
    there.flanpyctl("docker", "networks")


def test_flushed_packet_filter_leaves_networks_talking_and_apart(lab: DockerLab) -> None:
    here, there = lab.hosts
    one, far, flat = box(here, "calm", "shop"), box(there, "beyond", "shop"), box(there, "plain", "")
    eventually(lambda: pings(one, far.address("shop")), "not reached", deadline=DEADLINE_S)
    with Probe(one.as_end("shop"), far.as_end("shop")) as probe:
        here.run("nft", "flush", "ruleset")
        eventually(
            lambda: "fb-*" in here.run("nft", "list", "ruleset").stdout,
            "no rule of ours came back",
            deadline=DEADLINE_S,
        )
        report = probe.stop()
    assert_none_lost(report)
    assert not pings(one, flat.address())
    here.engine.restart()  # Docker makes its own rules again only then
    remove(one, far, flat)


def test_rebooted_host_has_its_networks_without_etcd(lab: DockerLab) -> None:
    here, there = lab.hosts
    far = box(there, "distant", "shop")
    one = here.engine.run_container("booted", "--network", "shop", "--restart", "always")
    lab.etcd.stop()
    try:
        reboot(here)
        eventually(
            lambda: bool(one.addresses().get("shop")) and pings(far, one.address("shop")),
            lambda: here.run("ip", "link").stdout,
            deadline=30.0,
        )
        eventually(
            lambda: pings(one, far.address("shop"), size=1422),
            "large packets do not pass",
            deadline=DEADLINE_S,
        )
    finally:
        lab.etcd.start()
    here.daemon.wait_ready()
    remove(one, far)


def test_full_slice_is_dockers_one_clear_line_and_an_address_beyond_it_is_not_refused(lab: DockerLab) -> None:
    here = lab.hosts[0]
    here.flanpyctl("networks", "create", "tiny", "10.95.0.0/27", "--slice-size", "29")
    in_docker_here(here, "tiny")
    boxes: list[EngineContainer] = []
    while (done := run(here, f"tiny{len(boxes)}", "--network", "tiny")).returncode == 0:
        boxes.append(EngineContainer(here.engine, f"tiny{len(boxes)}"))
        assert len(boxes) < 8
    assert "no available IPv4 addresses" in done.stderr
    free = next(one for one in status(here)["networks"] if one["name"] == "tiny")
    eventually(
        lambda: next(one for one in status(here)["networks"] if one["name"] == "tiny")["free"] == 0,
        str(free),
        deadline=DEADLINE_S,
    )
    taken = {ip_address(one.address("tiny")) for one in boxes}
    slice_ = ip_network(here.engine.inspect("network", "tiny")["IPAM"]["Config"][0]["IPRange"])
    beyond = next(one for one in ip_network("10.95.0.0/27").hosts() if one not in slice_ and one not in taken)
    late = run(here, "late", "--network", "tiny", "--ip", str(beyond))
    assert late.returncode == 0, late.stderr
    here.engine.docker("rm", "-f", "late", *(one.name for one in boxes))
    here.engine.docker("rm", "-f", f"tiny{len(boxes)}", check=False)
    here.flanpyctl("networks", "rm", "tiny")


def test_network_that_somebody_removed_from_docker_comes_back(lab: DockerLab) -> None:
    host = lab.hosts[1]
    host.engine.remove_containers()
    missing = host.daemon.state_dir / "networks.json"
    eventually(lambda: "fb-" not in host.run("ip", "link").stdout, "Docker kept it", deadline=DEADLINE_S)
    eventually(
        lambda: f'"fb-{vni(host, "shop")}"' in missing.read_text(), missing.read_text, deadline=DEADLINE_S
    )
    in_docker(host, "shop", "lab")
    eventually(lambda: '"Missing": []' in missing.read_text(), missing.read_text, deadline=DEADLINE_S)


def test_network_that_is_removed_goes_once_no_container_has_it(lab: DockerLab) -> None:
    host = lab.hosts[0]
    host.engine.remove_containers()
    in_docker(host, "shop", "lab")
    late = box(host, "late", "lab")
    number = vni(host, "lab")
    host.flanpyctl("networks", "rm", "lab")
    eventually(
        lambda: f"fv-{number}" not in host.run("ip", "link").stdout,
        lambda: host.run("ip", "link").stdout,
        deadline=DEADLINE_S,
    )
    held = host.flanpyctl("docker", "networks", check=False)
    assert held.returncode == 6
    assert "held by late" in held.stderr
    late.remove()
    assert host.flanpyctl("docker", "networks", check=False).returncode == 0
    assert host.engine.docker("network", "ls", "-q", "--filter", "name=lab").stdout == ""
    assert host.engine.docker("network", "ls", "-q", "--filter", "name=shop").stdout != ""
