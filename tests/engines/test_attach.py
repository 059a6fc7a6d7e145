"""Containers attached to the overlay and to named networks on real engines, and what attach refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from integration.hosts.engines import SERVE, DockerHost, DockerLab, EngineContainer
from integration.lab import flanpyctl
from integration.net.child import Child
from integration.net.namespaces import connect, run_in
from tests.docker_logs import standing
from tests.engines.named_hosts import DEADLINE_S, address6, in_docker, pings
from tests.engines.overlay_hosts import ENGINES
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


@pytest.fixture(scope="module", params=ENGINES)
def lab(request: pytest.FixtureRequest) -> Iterator[DockerLab]:
    """Two hosts with flanpyd, Docker on the overlay's subnet, and the named networks shop and billing."""
    with DockerLab(2, engine=request.param) as made, standing(made):
        for host in made.hosts:
            host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
            host.engine.start()
        made.configure()
        for host in made.hosts:
            host.daemon.launch("--ip-masq")
        for host in made.hosts:
            host.daemon.wait_ready()
            host.flanpyctl("docker", "apply", "--restart", "always")
        made.hosts[0].flanpyctl("networks", "create", "shop", "10.96.0.0/16", "--ipv6", "fd00:96::/64")
        made.hosts[0].flanpyctl("networks", "create", "billing", "10.97.0.0/16", "--ipv6", "fd00:97::/64")
        for host in made.hosts:
            in_docker(host, "shop", "billing")
        yield made


@pytest.fixture(autouse=True)
def _no_containers(lab: DockerLab) -> None:
    for host in lab.hosts:
        if left := host.engine.docker("ps", "-aq").stdout.split():
            host.engine.docker("rm", "-f", *left)


def bare(host: DockerHost, name: str) -> EngineContainer:
    """Run a container without any network."""
    return host.engine.run_container(name, "--network", "none")


def rows(host: DockerHost) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(host.flanpyctl("attach", "--list", "-o", "json").stdout)
    return found


def gateway(container: EngineContainer) -> str:
    """Return the gateway of the container's default route, "" without one."""
    found = json.loads(run_in(container.as_end().namespace, ("ip", "-j", "route", "show", "default")).stdout)
    return str(found[0]["gateway"]) if found else ""


def refused(host: DockerHost, *words: str) -> subprocess.CompletedProcess[str]:
    """Run flanpyctl, which must refuse in one line."""
    done = host.flanpyctl(*words, check=False)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done


def own_slice(host: DockerHost) -> str:
    """Return the first three numbers of this host's slice."""
    network = host.engine.inspect("network", "shop")
    return str(network["IPAM"]["Config"][0]["IPRange"]).rpartition(".")[0]


@pytest.mark.parametrize("network", ["shop", ""])
def test_attached_container_reaches_other_hosts_and_keeps_that_over_restarts(
    lab: DockerLab, network: str
) -> None:
    here, there = lab.hosts
    one, other = bare(here, "one"), bare(there, "other")
    words = ("--network", network) if network else ()
    docker_name = network or "bridge"
    for host, container in ((here, one), (there, other)):
        said = host.flanpyctl("attach", container.name, *words).stdout
        assert container.address(docker_name) in said
        assert (
            gateway(container) == container.inspect()["NetworkSettings"]["Networks"][docker_name]["Gateway"]
        )
    eventually(lambda: pings(one, other.address(docker_name)), "not reached", deadline=DEADLINE_S)
    assert pings(other, one.address(docker_name), size=1422)
    assert not pings(other, one.address(docker_name), size=1423)
    one.engine.docker("restart", "one")
    eventually(
        lambda: pings(one, other.address(docker_name)), "not after docker restart", deadline=DEADLINE_S
    )
    here.engine.restart()
    one.start()
    assert gateway(one)
    eventually(lambda: pings(other, one.address(docker_name)), "not after Docker's", deadline=DEADLINE_S)
    assert rows(here) == [
        {"container": "one", "network": docker_name, "address": one.address(docker_name), "running": True}
    ]
    here.flanpyctl("detach", "one")
    assert set(one.inspect()["NetworkSettings"]["Networks"]) == {"none"}
    assert gateway(one) == ""
    assert rows(here) == []
    one.engine.docker("restart", "one")
    assert set(one.inspect()["NetworkSettings"]["Networks"]) == {"none"}


def test_chosen_address_is_kept_and_nobody_elses(lab: DockerLab) -> None:
    here, there = lab.hosts
    mine, theirs = own_slice(here), own_slice(there)
    one = bare(here, "one")
    bare(here, "two")
    for address, why in (
        ("10.98.0.5", "outside of network 'shop', 10.96.0.0/16"),
        (f"{theirs}.5", "another host's to give out"),
        (f"{mine}.1", "it is the gateway"),
    ):
        done = refused(here, "attach", "one", "--network", "shop", "--ip", address)
        assert (done.returncode, why in done.stderr) == (6, True), done.stderr
    here.flanpyctl("attach", "one", "--network", "shop", "--ip", f"{mine}.77")
    assert one.address("shop") == f"{mine}.77"
    done = refused(here, "attach", "two", "--network", "shop", "--ip", f"{mine}.77")
    assert "taken by container 'one'" in done.stderr
    one.engine.docker("stop", "one")
    assert rows(here) == [{"container": "one", "network": "shop", "address": f"{mine}.77", "running": False}]
    done = refused(here, "attach", "two", "--network", "shop", "--ip", f"{mine}.77")
    assert "taken by container 'one'" in done.stderr
    one.start()
    assert one.address("shop") == f"{mine}.77"
    assert "leave --ip out" in refused(here, "attach", "two", "--ip", "10.50.1.2").stderr


def test_what_cannot_be_attached_is_refused_and_stays_as_it_was(lab: DockerLab) -> None:
    here, there = lab.hosts
    one = bare(here, "one")
    bare(there, "far")
    here.engine.run_container("hosted", "--network", "host")
    here.engine.run_container("shares", "--network", "container:one")
    here.engine.run_container("done", "--network", "none")
    here.engine.docker("stop", "done")
    for words, code, why in (
        (("attach",), 2, "say --list"),
        (("attach", "one", "--list"), 2, "name none"),
        (("attach", "nobody"), 4, "there is no container 'nobody' on this host"),
        (("attach", "far"), 4, "there is no container 'far' on this host"),
        (("attach", "done"), 6, "is not running"),
        (("attach", "hosted"), 6, "has the host's network"),
        (("attach", "shares"), 6, "shares the network of container"),
        (("attach", "one", "--network", "nowhere"), 4, "no named network 'nowhere'"),
        (("attach", "one", "--network", "host"), 4, "no named network 'host'"),
        (("attach", "one", "--network", "shop", "--ip", "ten"), 2, "no IPv4 address"),
        (("detach", "one"), 4, "is on no network"),
        (("detach", "hosted"), 6, "has the host's network"),
        (("detach", "one", "--network", "shop"), 4, "is not on network 'shop'"),
        (("attach", "one", "--docker-socket", "/run/none.sock"), 3, "no Docker listens"),
    ):
        done = refused(here, *words)
        assert (done.returncode, why in done.stderr) == (code, True), (words, done.stderr)
    assert set(one.inspect()["NetworkSettings"]["Networks"]) == {"none"}
    here.flanpyctl("attach", "one", "--network", "shop")
    assert "is on network 'shop' already" in refused(here, "attach", "one", "--network", "shop").stderr
    here.flanpyctl("attach", "one")
    assert "(bridge, shop)" in refused(here, "detach", "one").stderr
    here.flanpyctl("detach", "one", "--network", "bridge")
    here.flanpyctl("detach", "one")
    assert set(one.inspect()["NetworkSettings"]["Networks"]) == {"none"}


def test_container_stays_without_network_when_no_address_is_free(lab: DockerLab) -> None:
    """Docker 20.10 would count the container to a network that it could not join, and start it no more."""
    here = lab.hosts[0]
    ranges = ("--subnet", "10.98.0.0/30", "--gateway", "10.98.0.1", "--label", "net.flanpy.named=x")
    here.engine.docker("network", "create", *ranges, "tiny")
    try:
        first, late = bare(here, "first"), bare(here, "late")
        here.flanpyctl("attach", "first", "--network", "tiny")
        assert first.address("tiny") == "10.98.0.2"
        done = refused(here, "attach", "late", "--network", "tiny")
        assert "no address in 10.98.0.0/30 of network 'tiny' is free" in done.stderr
        assert set(late.inspect()["NetworkSettings"]["Networks"]) == {"none"}
    finally:
        here.engine.docker("rm", "-f", "first")
        here.engine.docker("network", "rm", "tiny")


def test_two_at_once_attach_a_container_once(lab: DockerLab) -> None:
    here = lab.hosts[0]
    one = bare(here, "one")
    with ThreadPoolExecutor(4) as pool:
        ended = list(
            pool.map(lambda _: here.flanpyctl("attach", "one", "--network", "shop", check=False), range(4))
        )
    assert sorted(done.returncode for done in ended) == [0, 6, 6, 6]
    assert set(one.inspect()["NetworkSettings"]["Networks"]) == {"shop"}


# Links


def addresses_in(container: EngineContainer) -> dict[str, list[str]]:
    """Return the container's addresses by link, as `ip` prints them."""
    shown = json.loads(run_in(container.as_end().namespace, ("ip", "-j", "-4", "address")).stdout)
    return {
        one["ifname"]: [f"{each['local']}/{each['prefixlen']}" for each in one["addr_info"]]
        for one in shown
        if one["ifname"] != "lo"
    }


def states(host: DockerHost) -> list[str]:
    found: list[dict[str, str]] = json.loads(host.flanpyctl("link", "--list", "-o", "json").stdout)
    return [one["state"] for one in found]


def records(host: DockerHost) -> bool:
    return host.path("/var/lib/flanpy-docker/links.json").exists()


@contextmanager
def following(host: DockerHost) -> Iterator[None]:
    """Run what flanpy-docker-links.service runs."""
    child = Child("links", host.namespace, log=host.directory / "links.log")
    child.start([*host.enter_argv()[-3:], *flanpyctl(), "docker", "links", "--follow"])
    try:
        yield
    finally:
        child.stop()


def devices(host: DockerHost) -> str:
    """Return the links of the host's own namespace: a link of containers has none there."""
    return "\n".join(one["ifname"] for one in host.ip_json("link"))


def test_linked_containers_reach_each_other_until_they_are_unlinked(lab: DockerLab) -> None:
    here = lab.hosts[0]
    web, db = bare(here, "web"), here.engine.run_container("db")
    before, route = devices(here), gateway(db)
    here.flanpyctl("link", "web", "db", "--addresses", "10.1.1.1", "10.1.1.2")
    assert pings(web, "10.1.1.2")
    assert pings(db, "10.1.1.1", size=1472)
    assert list(addresses_in(web).values()) == [["10.1.1.1/32"]]
    assert ["10.1.1.2/32"] in addresses_in(db).values()
    assert (devices(here), gateway(db)) == (before, route)
    assert states(here) == ["up"]
    assert "linked already, at 10.1.1.1" in refused(here, "link", "db", "web").stderr
    other = bare(here, "other")
    here.flanpyctl("link", "other", "web")
    ((own,),) = addresses_in(other).values()
    assert own.startswith("169.254.1")
    assert pings(web, own.removesuffix("/32"))
    assert not pings(other, "10.1.1.1")
    here.flanpyctl("unlink", "db", "web")
    assert states(here) == ["up"]
    assert not pings(web, "10.1.1.2")
    assert (len(addresses_in(web)), len(addresses_in(db))) == (1, 1)
    assert here.flanpyctl("unlink", "--all").stdout == "1 link removed\n"
    assert addresses_in(web) == {}
    assert not records(here)
    assert devices(here).splitlines() == [name for name in before.splitlines() if name]


def test_link_comes_back_with_its_containers_and_goes_with_them(lab: DockerLab) -> None:
    here = lab.hosts[0]
    web, db = bare(here, "web"), bare(here, "db")
    here.flanpyctl("link", "web", "db", "--addresses", "10.1.1.1", "10.1.1.2")
    with following(here):
        web.engine.docker("restart", "web")
        eventually(lambda: pings(db, "10.1.1.1"), "not after a restart of one", deadline=DEADLINE_S)
        web.engine.docker("stop", "web", "db")
        assert states(here) == ["waiting"]
        db.start()
        web.start()
        eventually(lambda: pings(web, "10.1.1.2"), "not after both started", deadline=DEADLINE_S)
        here.engine.restart()
        db.start()
        web.start()
        eventually(lambda: pings(web, "10.1.1.2"), "not after Docker's restart", deadline=DEADLINE_S)
        db.remove()
        eventually(lambda: not records(here), "the record stays", deadline=DEADLINE_S)
        eventually(lambda: addresses_in(web) == {}, lambda: addresses_in(web), deadline=DEADLINE_S)


def test_what_cannot_be_linked_is_refused_and_nothing_is_left(lab: DockerLab) -> None:
    here = lab.hosts[0]
    web, db = bare(here, "web"), here.engine.run_container("db")
    here.engine.run_container("hosted", "--network", "host")
    here.engine.run_container("shares", "--network", "container:web")
    here.engine.run_container("done", "--network", "none")
    here.engine.docker("stop", "done")
    for words, code, why in (
        (("link", "web"), 2, "takes two containers"),
        (("link", "web", "nobody"), 4, "there is no container 'nobody'"),
        (("link", "web", "web"), 6, "with itself"),
        (("link", "web", "done"), 6, "is not running"),
        (("link", "hosted", "web"), 6, "has the host's network"),
        (("link", "db", "shares"), 6, "shares the network"),
        (("link", "web", "db", "--addresses", "ten", "10.1.1.1"), 2, "no IP address"),
        (("link", "web", "db", "--addresses", "10.1.1.1", "10.1.1.1"), 2, "two addresses"),
        (("link", "web", "db", "--addresses", "10.1.1.1", "fd00::1"), 2, "of one family"),
        (("link", "web", "db", "--addresses", "127.0.0.1", "10.1.1.1"), 2, "no address that"),
        (("link", "web", "db", "--addresses", "10.96.1.1", "10.1.1.1"), 6, "of network 'shop'"),
        (("link", "web", "db", "--addresses", "10.50.1.1", "10.1.1.1"), 6, "of the overlay"),
        (("unlink", "web", "db"), 4, "are not linked"),
        (("link", "web", "db", "--docker-socket", "/run/none.sock"), 3, "no Docker listens"),
    ):
        done = refused(here, *words)
        assert (done.returncode, why in done.stderr) == (code, True), (words, done.stderr)
    run_in(db.as_end().namespace, ("ip", "address", "add", "10.1.1.2/32", "dev", "lo"))
    done = refused(here, "link", "web", "db", "--addresses", "10.1.1.1", "10.1.1.2")
    assert "container 'db' has the address 10.1.1.2" in done.stderr
    run_in(db.as_end().namespace, ("ip", "route", "add", "10.1.1.9/32", "via", gateway(db)))
    done = refused(here, "link", "web", "db", "--addresses", "10.1.1.9", "10.1.1.8")
    assert "cannot link 'web' and 'db'" in done.stderr
    assert addresses_in(web) == {}
    assert len(addresses_in(db)) == 1
    assert not records(here)


def test_two_at_once_link_containers_once(lab: DockerLab) -> None:
    here = lab.hosts[0]
    web, _ = bare(here, "web"), bare(here, "db")
    orders = (("web", "db"), ("db", "web"), ("web", "db"))
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda pair: here.flanpyctl("link", *pair, check=False), orders))
    assert sorted(done.returncode for done in ended) == [0, 6, 6]
    assert len(addresses_in(web)) == 1
    here.flanpyctl("unlink", "--all")


def test_killed_link_is_completed_or_taken_away(lab: DockerLab) -> None:
    """The record is there and the devices are not, as after a kill between the two."""
    here = lab.hosts[0]
    web, db = bare(here, "web"), bare(here, "db")
    here.flanpyctl("link", "web", "db", "--addresses", "10.1.1.1", "10.1.1.2")
    (device,) = addresses_in(web)
    run_in(web.as_end().namespace, ("ip", "link", "del", device))
    assert states(here) == ["down"]
    assert "linked 'web' and 'db' again" in here.flanpyctl("docker", "links").stdout
    assert pings(db, "10.1.1.1")
    run_in(web.as_end().namespace, ("ip", "link", "del", device))
    here.flanpyctl("unlink", "web", "db")
    assert not records(here)


# Linked networks


def answers(one: EngineContainer, address: str) -> bool:
    """Report whether a web server takes a connection of a container of another network."""
    try:
        connect(one.as_end().namespace, (address, 80), timeout=1.0).close()
    except OSError:
        return False
    return True


def is_cut(one: EngineContainer, address: str) -> bool:
    return not pings(one, address)


def trace(host: DockerHost, source: str, destination: str, *words: str) -> int:
    return host.flanpyctl("trace", destination, "--from", source, *words, check=False).returncode


def is_traced(host: DockerHost, source: str, destination: str) -> bool:
    return trace(host, source, destination) == 0


def test_linked_networks_talk_both_ways_on_one_host_and_across_until_they_are_apart(lab: DockerLab) -> None:
    here, there = lab.hosts
    one = here.engine.run_container("one", "--network", "shop", command=SERVE)
    near = here.engine.run_container("near", "--network", "billing", command=SERVE)
    far = there.engine.run_container("far", "--network", "billing", command=SERVE)
    at = one.address("shop")
    ways = [(one, other.address("billing"), here) for other in (near, far)]
    ways += [(near, at, here), (far, at, there)]
    at6 = address6(one, "shop")
    ways6 = [(one, address6(near, "billing")), (one, address6(far, "billing")), (near, at6), (far, at6)]
    for source, address in ways6:
        assert not pings(source, address)
    for source, address, host in ways:
        assert not pings(source, address)
        assert trace(host, next(iter(source.addresses().values())), address) == 5
    here.flanpyctl("networks", "link", "shop", "billing")
    for source, address, host in ways:
        eventually(partial(pings, source, address), f"{source.name} gets nowhere", deadline=DEADLINE_S)
        own = next(iter(source.addresses().values()))
        eventually(partial(is_traced, host, own, address), f"{source.name} dies", deadline=DEADLINE_S)
    assert pings(one, far.address("billing"), size=1422)
    for source, address in ways6:
        eventually(partial(pings, source, address), f"{source.name} gets nowhere", deadline=DEADLINE_S)
    assert answers(far, at)
    assert answers(far, at6)
    shown = json.loads(there.flanpyctl("networks", "show", "billing", "-o", "json").stdout)
    assert shown["links"] == [{"network": "shop", "ports": []}]
    assert "linked already" in refused(there, "networks", "link", "billing", "shop").stderr
    there.flanpyctl("networks", "unlink", "billing", "shop")
    for source, address in (*((way[0], way[1]) for way in ways), *ways6):
        eventually(partial(is_cut, source, address), "still linked", deadline=DEADLINE_S)
    rules = here.run("iptables-save").stdout + here.run("nft", "list", "ruleset", check=False).stdout
    assert "10.97.0.0/16 -i" not in rules


def test_networks_that_are_linked_by_a_port_talk_by_that_port_alone(lab: DockerLab) -> None:
    here, there = lab.hosts
    one = here.engine.run_container("one", "--network", "shop", command=SERVE)
    far = there.engine.run_container("far", "--network", "billing", command=SERVE)
    here.flanpyctl("networks", "link", "shop", "billing", "--port", "80")
    ways = [(one, far.address("billing")), (far, one.address("shop"))]
    ways += [(one, address6(far, "billing")), (far, address6(one, "shop"))]
    for source, address in ways:
        eventually(
            partial(answers, source, address), f"port 80 of {address} does not pass", deadline=DEADLINE_S
        )
        assert not pings(source, address)
    eventually(
        lambda: trace(here, one.address("shop"), far.address("billing"), "--port", "80") == 0,
        "port 80 dies",
        deadline=DEADLINE_S,
    )
    assert trace(here, one.address("shop"), far.address("billing"), "--port", "81") == 5
    here.flanpyctl("networks", "unlink", "shop", "billing")
    for source, address in ways:
        eventually(lambda: not answers(source, address), "still linked", deadline=DEADLINE_S)  # noqa: B023
