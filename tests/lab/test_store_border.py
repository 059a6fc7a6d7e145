"""The limits of what etcd can do: no content takes a host from etcd, its gateway or its peers, and a correction
in etcd heals by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from integration.lab import Host, Lab, unreached
from integration.net.namespaces import run_in
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import conditions, delete, lease_value, on_each, own_key, put, route_to
from tests.lab.overlay import assert_settled, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

FLANNELS = {"Network": "10.0.0.0/8", "SubnetMin": "10.50.0.0", "SubnetMax": "10.60.255.0"}
"""flannel's Documentation/configuration.md, with bounds of this lab: the network contains the hosts and etcd."""

PLANES = [("vxlan", "auto"), ("udp", "kernel"), ("udp", "user"), ("host-gw", "auto")]


def etcd_address(lab: Lab) -> str:
    return str(urlsplit(lab.etcd.endpoints.split(",")[0]).hostname)


def way_to(host: Host, address: str) -> str:
    """The link by which the host sends there."""
    (route,) = host.ip_json("route", "get", address)
    return str(route["dev"])


def offence(host: Host) -> str:
    found = conditions(host)["PeerLeasesValid"]
    return "" if found["healthy"] else str(found["message"])


def refused(host: Host) -> str:
    found = conditions(host)["NetworkConfigValid"]
    return "" if found["healthy"] else str(found["message"])


def config(backend: str, **more: Any) -> dict[str, Any]:
    return {**FLANNELS, "Backend": {"Type": backend}, **more}


@pytest.mark.parametrize(("backend", "plane"), PLANES)
def test_flannels_documented_network_works_and_no_lease_in_it_takes_a_hosts_way(
    build_lab: BuildLab, backend: str, plane: str
) -> None:
    lab = build_lab(2)
    lab.configure(config(backend))
    lab.start_daemons(f"--udp-plane={plane}")
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), "every host has its peers")

    etcd, one = etcd_address(lab), lab.hosts[0]
    before = {host.name: way_to(host, etcd) for host in lab.hosts}
    value = lease_value("10.99.16.7") if backend == "vxlan" else json.dumps(
        {"PublicIP": "10.99.1.77", "PublicIPv6": None, **({"BackendType": backend} if backend != "udp" else {})}
    )  # fmt: skip
    put(lab, f"{etcd}-32", value)
    on_each(lab.hosts, lambda host: "would take the way to" in offence(host), "the lease is named")
    for host in lab.hosts:
        assert way_to(host, etcd) == before[host.name]
        assert way_to(host, lab.hosts[host is one].address) == before[host.name]
    assert unreached(lab.containers) == ()
    delete(lab, f"{etcd}-32")
    on_each(lab.hosts, lambda host: not offence(host), "the condition is cleared")


def test_two_puts_neither_cut_a_host_off_nor_outlive_a_restart(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(config("vxlan"))
    lab.start_daemons()
    lab.attach_containers()
    etcd, (one, two) = etcd_address(lab), lab.hosts

    lab.configure({"Network": "0.0.0.0/1", "SubnetLen": 24, "Backend": {"Type": "vxlan"}})
    put(lab, "93.184.216.0-24", lease_value("10.99.16.7"))
    on_each(lab.hosts, lambda host: "0.0.0.0/1, which this host does not allow" in refused(host), "refused")
    on_each(lab.hosts, lambda host: "93.184.216.0/24" in offence(host), "the lease is named")
    assert all(host.daemon.is_ready() for host in lab.hosts)

    # what an earlier version obeyed stands in the kernel, and etcd cannot be heard because of it
    one.daemon.stop()
    one.ip(f"route add {etcd}/32 via {etcd} dev flannel.1 onlink proto 70")
    assert way_to(one, etcd) == "flannel.1"
    one.daemon.up()
    eventually(lambda: way_to(one, etcd) != "flannel.1", "the way to etcd is free")
    eventually(lambda: conditions(one)["DatastoreReachable"]["healthy"], "etcd is heard")
    eventually(lambda: "does not allow" in refused(one), "judged again after a restart")

    lab.configure(config("vxlan"))
    delete(lab, "93.184.216.0-24")
    on_each(lab.hosts, lambda host: not refused(host) and not offence(host), "healed without a restart")
    assert_settled(lab)
    assert unreached(lab.containers) == ()
    assert two.daemon.starts == 1


def test_saved_network_that_is_no_longer_allowed_is_not_obeyed_after_a_restart(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}})
    lab.start_daemons()
    (host,) = lab.hosts
    host.daemon.stop()
    host.daemon.launch("--allowed-network=10.60.0.0/16")
    eventually(
        lambda: "allowed-network is 10.60.0.0/16" in refused(host), "the saved network is judged again"
    )
    assert not host.daemon.is_ready()
    lab.configure({"Network": "10.60.0.0/16", "Backend": {"Type": "vxlan"}})
    eventually(host.daemon.is_ready, "what is allowed is obeyed")


BEHIND, FRONT, SEAT = "10.77.5.1", "198.51.100.5", "10.77.5.0-24"
"""The address of etcd that packets really go to, the one that flanpyd knows, and a subnet that holds the first."""

CHAIN = "table ip way {{ chain c {{ type nat hook {} priority -100; ip daddr {} dnat to {}; }}; }}\n"


def tunnel_to_etcd(lab: Lab, host: Host) -> str:
    """Have the host reach etcd by a tunnel of somebody else's, whose far end no route to etcd shows."""
    (member,) = lab.etcd.members
    etcd = etcd_address(lab)
    host.ip(f"route add 10.77.0.0/16 via {etcd}")
    run_in(member.namespace, ["nft", "-f", "-"], stdin=CHAIN.format("prerouting", FRONT, etcd))
    ends = (
        (host.namespace, host.address, BEHIND, "198.51.100.6"),
        (member.namespace, BEHIND, host.address, FRONT),
    )
    for namespace, here, there, inner in ends:
        lines = [
            *([f"address add {here}/32 dev lo"] if here == BEHIND else []),
            f"link add far type vxlan id 9 local {here} remote {there} dstport 4790",
            f"address add {inner}/30 dev far",
            "link set far up",
        ]
        run_in(namespace, ["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
    return translated(lab)


def translate_etcd(lab: Lab, host: Host) -> str:
    """Put etcd behind a translation that no route of the host shows. Return the endpoint that is left to the daemon."""
    etcd = etcd_address(lab)
    (member,) = lab.etcd.members
    run_in(member.namespace, ["nft", "-f", "-"], stdin=CHAIN.format("prerouting", BEHIND, etcd))
    host.run("nft", "-f", "-", stdin=CHAIN.format("output", FRONT, BEHIND))
    host.ip(f"route add {FRONT}/32 via {etcd}", f"route add 10.77.0.0/16 via {etcd}")
    return translated(lab)


def translated(lab: Lab) -> str:
    """Return the flag that leads there."""
    return f"--etcd-endpoints=http://{FRONT}:{urlsplit(lab.etcd.endpoints.split(',')[0]).port}"


@pytest.mark.parametrize("hide", [translate_etcd, tunnel_to_etcd])
def test_lease_that_takes_a_way_to_etcd_that_no_route_shows_is_taken_back_and_heals_without_a_restart(
    build_lab: BuildLab, hide: Callable[[Lab, Host], str]
) -> None:
    lab = build_lab(2)
    lab.configure(config("vxlan"))
    one, two = lab.hosts
    one.daemon.up(hide(lab, one))
    two.daemon.up()
    lab.attach_containers()
    eventually(lambda: unreached(lab.containers) == (), "the hosts know each other")

    put(lab, SEAT, lease_value("10.99.16.7"))
    eventually(lambda: route_to(one, SEAT), "the way to etcd is taken")
    eventually(lambda: "is withheld" in offence(one), "the newest lease is withheld", deadline=40)
    eventually(lambda: conditions(one)["DatastoreReachable"]["healthy"], "etcd is heard", deadline=20)
    eventually(lambda: route_to(one, own_key(lab, two)), "a peer that is as new is no suspect any more")
    eventually(lambda: offence(one).startswith(f"{SEAT}: "), "the lease is named alone")
    assert route_to(one, SEAT) is None
    assert "is withheld" in offence(one)
    eventually(lambda: route_to(two, SEAT), "a host whose way to etcd is another keeps the peer")
    eventually(lambda: unreached(lab.containers) == (), "its containers are reached again")

    put(lab, "10.50.240.0-24", lease_value("10.99.16.8", "02:fa:00:00:00:02"))
    eventually(lambda: route_to(one, "10.50.240.0-24"), "others come meanwhile")
    delete(lab, "10.50.240.0-24")
    delete(lab, SEAT)
    eventually(lambda: not offence(one), "healed without a restart")
    assert_settled(lab)
    assert one.daemon.starts == 1


def test_restart_clears_no_lease_that_has_just_taken_the_way_to_etcd(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(config("vxlan"))
    one, two = lab.hosts
    two.daemon.up()
    one.daemon.up(translate_etcd(lab, one))
    put(lab, SEAT, lease_value("10.99.16.7"))
    eventually(lambda: route_to(one, SEAT), "the way to etcd is taken")
    memory = one.daemon.state_dir / "lease.json"
    eventually(lambda: SEAT in memory.read_text(), "the disk knows")
    one.daemon.kill()
    assert route_to(one, SEAT), "nobody misses etcd yet"

    one.daemon.launch(translated(lab))
    eventually(
        lambda: offence(one).startswith(f"{SEAT}: "), "the newest lease is withheld alone", deadline=40
    )
    eventually(lambda: conditions(one)["DatastoreReachable"]["healthy"], "etcd is heard", deadline=20)
    eventually(lambda: route_to(one, own_key(lab, two)), "a peer that is as new is no suspect any more")
    assert route_to(one, SEAT) is None
    assert "is withheld" in offence(one)
    delete(lab, SEAT)
    eventually(lambda: not offence(one), "healed without another restart")
    eventually(
        lambda: SEAT not in memory.read_text(), "the disk forgets what etcd was heard beside", deadline=30
    )
