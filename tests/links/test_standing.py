"""Links between real network namespaces that stand in for containers; a test says what Docker answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from flanpy.errors import DockerAbsent, DockerConflict, FlanpyError, HostError, KernelError
from flanpy.links.record import load
from flanpy.links.standing import LinkStep, link, part, part_all, restore, states
from tests.netns import Namespace, namespace

pytestmark = pytest.mark.netns

PAIR = (IPv4Address("10.1.1.1"), IPv4Address("10.1.1.2"))


@dataclass
class SaidContainers:
    """Implements `standing.Containers`: the documents by name; each is found by its id, too."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def container(self, name: str) -> dict[str, Any] | None:
        return next((one for key, one in self.documents.items() if name in {key, one["Id"]}), None)

    def runs(self, name: str, sandbox: Path | None, **changes: Any) -> None:
        """Say that a container runs in this namespace, or is stopped without one."""
        self.documents[name] = {
            "Id": name.encode().hex().ljust(64, "0"),
            "Name": f"/{name}",
            "State": {"Running": sandbox is not None},
            "HostConfig": {"NetworkMode": "none"},
            "NetworkSettings": {"SandboxKey": str(sandbox or ""), "Networks": {}},
            **changes,
        }


@dataclass
class Two:
    """Two containers that run, and the directory of the records."""

    docker: SaidContainers
    web: Namespace
    db: Namespace
    directory: Path

    def link(self) -> str:
        return link(self.docker, ("web", "db"), PAIR, self.directory).device

    def steps(self) -> list[LinkStep]:
        return [state.step for state in states(self.docker, self.directory)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with namespace("web") as web, namespace("db") as db:
        docker = SaidContainers()
        docker.runs("web", web.path)
        docker.runs("db", db.path)
        yield Two(docker, web, db, tmp_path)


def devices(here: Namespace) -> set[str]:
    return {one["ifname"] for one in here.json("link")} - {"lo"}


def pings(here: Namespace, address: object) -> bool:
    return "1 received" in here.run("ping", "-n", "-c", "1", "-W", "1", str(address), check=False)


def test_link_carries_packets_both_ways_by_host_routes(two: Two) -> None:
    device = two.link()
    assert pings(two.web, PAIR[1])
    assert pings(two.db, PAIR[0])
    assert devices(two.web) == devices(two.db) == {device}
    (route,) = two.web.json("route")
    assert (route["dst"], route["dev"], route["prefsrc"]) == ("10.1.1.2", device, "10.1.1.1")
    assert two.steps() == [LinkStep.UP]
    part(two.docker, ("db", "web"), two.directory)
    assert devices(two.web) == devices(two.db) == set()
    assert load(two.directory) == ()


def test_link_of_ipv6_carries_packets_at_once(two: Two) -> None:
    wanted = (ip_address("fd00:1::1"), ip_address("fd00:1::2"))
    link(two.docker, ("web", "db"), wanted, two.directory)
    assert pings(two.web, wanted[1])
    assert two.steps() == [LinkStep.UP]


def test_restored_link_is_that_of_before_in_the_new_namespace(two: Two) -> None:
    two.link()
    with namespace("again") as again:
        two.docker.runs("db", None)
        assert two.steps() == [LinkStep.WAITING]
        assert [state.step for state in restore(two.docker, two.directory)] == [LinkStep.WAITING]
        two.docker.runs("db", again.path)
        assert two.steps() == [LinkStep.DOWN]
        assert [state.step for state in restore(two.docker, two.directory)] == [LinkStep.RESTORED]
        assert pings(again, PAIR[0])
        assert [state.step for state in restore(two.docker, two.directory)] == [LinkStep.UP]
        assert devices(two.db) == set()  # the device of before went with its other end


def test_link_of_a_container_that_is_no_more_is_forgotten(two: Two) -> None:
    two.link()
    del two.docker.documents["db"]
    assert [state.step for state in restore(two.docker, two.directory)] == [LinkStep.GONE]
    assert load(two.directory) == ()


def test_container_of_the_same_name_is_another_one(two: Two) -> None:
    two.link()
    two.docker.documents["db"]["Id"] = "f" * 64
    with pytest.raises(DockerAbsent, match="not linked"):
        part(two.docker, ("web", "db"), two.directory)
    assert [state.step for state in restore(two.docker, two.directory)] == [LinkStep.GONE]


def test_container_that_is_gone_is_unlinked_by_its_name(two: Two) -> None:
    two.link()
    del two.docker.documents["db"]
    assert part(two.docker, ("web", "db"), two.directory).second.name == "db"
    assert devices(two.web) == set()


def _device_of(two: Two) -> str:
    device = two.link()
    part_all(two.docker, two.directory)
    return device


HOSTILE: dict[str, Callable[[Two], object]] = {
    "its file is a plain file": lambda two: two.docker.runs("db", two.directory / "file"),
    "its file is the host's namespace": lambda two: two.docker.runs("db", Path("/proc/self/ns/net")),
    "its file is a namespace of another kind": lambda two: two.docker.runs("db", Path("/proc/self/ns/uts")),
    "it has no file": lambda two: two.docker.runs("db", Path()),
    "its file is a pipe": lambda two: two.docker.runs("db", two.directory / "pipe"),
    "it has a device of that name": lambda two: two.db.ip(f"link add {_device_of(two)} type bridge"),
    "it has the address": lambda two: two.db.ip("address add 10.1.1.2/32 dev lo"),
    "it has the other's address": lambda two: two.db.ip("address add 10.1.1.1/32 dev lo"),
    "it has a route to the other": lambda two: two.db.ip("route add 10.1.1.1/32 dev lo"),
    "it takes no address": lambda two: two.db.sysctl("net/ipv6/conf/default/disable_ipv6", "1"),
}


@pytest.mark.parametrize("trouble", HOSTILE)
def test_link_that_cannot_be_made_leaves_nothing(two: Two, trouble: str) -> None:
    (two.directory / "file").touch()
    os.mkfifo(two.directory / "pipe")
    wanted = PAIR
    if trouble == "it takes no address":
        wanted = (ip_address("fd00:1::1"), ip_address("fd00:1::2"))  # type: ignore[assignment]
    HOSTILE[trouble](two)
    before = devices(two.web), devices(two.db)
    with pytest.raises((DockerConflict, HostError, KernelError)) as caught:
        link(two.docker, ("web", "db"), wanted, two.directory)
    assert isinstance(caught.value, FlanpyError)
    assert "\n" not in str(caught.value)
    assert (devices(two.web), devices(two.db)) == before
    assert load(two.directory) == ()


def test_container_that_restarts_meanwhile_is_not_linked_in_its_former_namespace(two: Two) -> None:
    with namespace("next") as fresh:

        class Restarts(SaidContainers):
            """The second time that it is asked about db, db runs elsewhere."""

            asked = 0

            def container(self, name: str) -> dict[str, Any] | None:
                found = super().container(name)
                if found is not None and found["Name"] == "/db":
                    self.asked += 1
                    if self.asked == 2:
                        self.runs("db", fresh.path)
                        return super().container("db")
                return found

        with pytest.raises(DockerConflict, match="being restarted"):
            link(Restarts(two.docker.documents), ("web", "db"), PAIR, two.directory)
        assert devices(two.web) == devices(two.db) == devices(fresh) == set()


def test_one_link_that_cannot_be_restored_holds_up_no_other(two: Two) -> None:
    with namespace("third") as third, namespace("again") as again:
        two.docker.runs("third", third.path)
        two.link()
        link(two.docker, ("third", "db"), None, two.directory)
        two.docker.runs("web", again.path)
        again.ip("address add 10.1.1.1/32 dev lo")
        third.ip(f"link del {next(iter(devices(third)))}")
        found = restore(two.docker, two.directory)
        assert [state.step for state in found] == [LinkStep.FAILED, LinkStep.RESTORED]
        assert "has the address 10.1.1.1" in found[0].reason


def test_addresses_of_another_link_of_either_are_refused(two: Two) -> None:
    with namespace("third") as third:
        two.docker.runs("third", third.path)
        two.link()
        with pytest.raises(DockerConflict, match="in use by the link of 'web' and 'db'"):
            link(two.docker, ("third", "db"), (IPv4Address("10.1.1.5"), PAIR[0]), two.directory)
        with pytest.raises(DockerConflict, match="linked already"):
            link(two.docker, ("db", "web"), None, two.directory)
        with pytest.raises(DockerConflict, match="with itself"):
            link(two.docker, ("web", "web"), None, two.directory)
