"""Attaching containers: what Docker says of them, which addresses they may have, and the lock.

Pure, or quick. What Docker does is tried on real engines: tests/engines/test_attach.py.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from flanpy.docker.attach import Attached, AttachNetwork, attached, refuse_address, refuse_full
from flanpy.docker.containers import inspected, refuse_shared, refuse_stopped
from flanpy.docker.turn import turn
from flanpy.errors import DockerAbsent, DockerConflict, DockerError, HostError

SHOP = AttachNetwork(
    name="shop",
    id="n1",
    subnet=IPv4Network("10.96.0.0/16"),
    range=IPv4Network("10.96.3.0/24"),
    reserved={IPv4Address("10.96.3.1"): "the gateway", IPv4Address("10.96.3.0"): "kept free"},
)
OTHERS = (Attached("db", "shop", "10.96.3.7"), Attached("off", "shop", "", running=False))


def document(**changes: Any) -> dict[str, Any]:
    return {
        "Id": "c0ffee",
        "Name": "/db",
        "State": {"Running": True},
        "HostConfig": {"NetworkMode": "none"},
        "NetworkSettings": {"SandboxKey": "/run/docker/netns/1", "Networks": {"none": {"IPAddress": ""}}},
        **changes,
    }


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.97.3.7", "outside"),
        ("10.96.4.7", "another host's"),
        ("10.96.3.1", "the gateway"),
        ("10.96.3.0", "kept free"),
        ("10.96.3.7", "taken by container 'db'"),
    ],
)
def test_address_that_no_container_may_have_is_refused(address: str, why: str) -> None:
    with pytest.raises(DockerConflict, match=why):
        refuse_address(SHOP, IPv4Address(address), OTHERS)


def test_free_address_of_this_host_is_taken_but_not_on_the_ends_of_a_subnet() -> None:
    refuse_address(SHOP, IPv4Address("10.96.3.8"), OTHERS)
    whole = AttachNetwork(name="flanpy", id="n", subnet=SHOP.range, range=SHOP.range, reserved={})
    for end in ("10.96.3.0", "10.96.3.255"):
        with pytest.raises(DockerConflict, match="no address for a container"):
            refuse_address(whole, IPv4Address(end), ())


def test_containers_that_cannot_be_attached_are_named_with_the_cure() -> None:
    here = inspected("db", document())
    refuse_shared(here)
    refuse_stopped(here)
    assert (here.name, here.networks, here.plain_networks) == ("db", {"none": ""}, frozenset())
    for changes, why in (
        ({"HostConfig": {"NetworkMode": "host"}}, "the host's network"),
        ({"HostConfig": {"NetworkMode": "container:c1"}}, "shares the network of container 'c1'"),
    ):
        with pytest.raises(DockerConflict, match=why):
            refuse_shared(inspected("db", document(**changes)))
    with pytest.raises(DockerConflict, match="docker start db"):
        refuse_stopped(inspected("db", document(State={"Running": False})))
    with pytest.raises(DockerAbsent, match="no container 'x' on this host"):
        inspected("x", None)
    with pytest.raises(DockerError, match="is that Docker"):
        inspected("x", {"Id": 7})


def test_rows_of_docker_tell_fixed_addresses_of_stopped_containers() -> None:
    rows: list[dict[str, Any]] = [
        {
            "Names": ["/web", "/db/web"],
            "State": "running",
            "NetworkSettings": {"Networks": {"shop": {"IPAddress": "1"}}},
        },
        {
            "Names": ["/db"],
            "State": "exited",
            "NetworkSettings": {"Networks": {"shop": {"IPAddress": "", "IPAMConfig": {"IPv4Address": "2"}}}},
        },
        {"Id": "0123456789abcdef"},
    ]
    assert attached("shop", rows) == (
        Attached("0123456789ab", "shop", "", running=False),
        Attached("db", "shop", "2", running=False),
        Attached("web", "shop", "1"),
    )


def test_one_command_at_a_time_has_the_turn(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with turn(lock), pytest.raises(DockerConflict, match="another command"), turn(lock, patience=0.0):
        pass
    with turn(lock, patience=0.0):
        pass
    lock.unlink()
    lock.symlink_to("/dev/null")
    with pytest.raises(HostError, match="remove that symbolic link"), turn(lock):
        pass


def test_network_without_a_free_address_is_refused_before_anything_changes() -> None:
    tiny = IPv4Network("10.96.3.0/30")
    gateway = {IPv4Address("10.96.3.1"): "the gateway"}
    network = AttachNetwork(name="tiny", id="n", subnet=tiny, range=tiny, reserved=gateway)
    refuse_full(network, (Attached("off", "tiny", "", running=False),))
    with pytest.raises(DockerConflict, match=r"no address in 10\.96\.3\.0/30"):
        refuse_full(network, (Attached("db", "tiny", "10.96.3.2"),))
    middle = AttachNetwork(
        name="m", id="n", subnet=SHOP.subnet, range=IPv4Network("10.96.3.8/30"), reserved=gateway
    )
    refuse_full(middle, [Attached(str(one), "m", f"10.96.3.{one}") for one in (8, 9, 10)])
    with pytest.raises(DockerConflict):
        refuse_full(middle, [Attached(str(one), "m", f"10.96.3.{one}") for one in (8, 9, 10, 11)])
