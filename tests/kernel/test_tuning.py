"""The tuning of the host, read from a real kernel: strict links, what they dropped, neighbour tables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flanpy.kernel.request import RequestSocket, open_netlink
from flanpy.kernel.sysctl import ProcSysctls
from flanpy.kernel.tuning import (
    counter,
    read_bridge_filter,
    read_neighbour_tables,
    read_reverse_path,
)
from flanpy.model.address import Family
from flanpy.model.tuning import ReversePath
from tests.netns import Namespace, NamespaceSysctls, namespace

ALL, VETH = (f"net/ipv4/conf/{link}/rp_filter" for link in ("all", "near"))


@contextmanager
def _neighbours() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces on one cable, 192.0.2.1 on `near` and 192.0.2.2 on `far`."""
    with namespace("near") as here, namespace("far") as there:
        here.ip(f"link add near type veth peer name far netns {there.name}")
        for side, name, number in ((here, "near", 1), (there, "far", 2)):
            side.ip(f"address add 192.0.2.{number}/24 dev {name}")
            side.ip(f"link set {name} up")
        yield here, there


@pytest.mark.netns
def test_link_is_strict_by_the_greater_of_its_own_value_and_that_of_all() -> None:
    with _neighbours() as (here, _):
        sysctls = NamespaceSysctls(here)

        def strict(of_all: int, own: int) -> tuple[str, ...]:
            here.sysctl(ALL, str(of_all))
            here.sysctl(VETH, str(own))
            return read_reverse_path(sysctls, ["near", "gone"]).strict

        assert strict(0, 0) == ()
        assert strict(0, 1) == ("near",)
        assert strict(1, 2) == ("gone",), (
            "loose is greater than strict; a link that is gone has what all have"
        )
        assert strict(2, 1) == ()
        assert strict(1, 0) == ("near", "gone")


@pytest.mark.netns
def test_p05_drops_of_a_strict_link_are_counted() -> None:
    with _neighbours() as (here, there):
        here.ip("link add elsewhere type veth peer name nowhere")
        for name in ("elsewhere", "nowhere"):
            here.ip(f"link set {name} up")
        here.ip("route add 203.0.113.0/24 dev elsewhere")
        there.ip("address add 203.0.113.9/32 dev lo")
        # asked for its MAC by that address, a strict link does not answer either
        mac = here.json("link show dev near")[0]["address"]
        there.ip(f"neighbour add 192.0.2.1 lladdr {mac} dev far")
        here.sysctl(VETH, "1")

        def look() -> ReversePath:
            return here.do(lambda: read_reverse_path(ProcSysctls(), ["near"]))

        before = look()
        there.run(
            "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-I", "203.0.113.9", "192.0.2.1", check=False
        )
        after = look()
        assert (before.strict, after.strict) == (("near",), ("near",))
        assert after.drops - before.drops == 3


@pytest.mark.netns
@pytest.mark.asyncio
async def test_neighbour_tables_are_told_in_every_namespace() -> None:
    with namespace() as here:
        requests = RequestSocket(here.do(open_netlink))
        try:
            tables = await read_neighbour_tables(requests)
        finally:
            requests.close()
        assert [table.family for table in tables] == [Family.IPV4, Family.IPV6]
        said = json.loads(subprocess.check_output(["ip", "-j", "ntable", "show"], timeout=60))
        limits = {one["name"]: one["thresh3"] for one in said if "thresh3" in one}
        assert [table.limit for table in tables] == [limits["arp_cache"], limits["ndisc_cache"]]
        assert all(table.refused >= 0 for table in tables)


NETSTAT = """\
TcpExt: SyncookiesSent IPReversePathFilter Later
TcpExt: 1 42 3
IpExt: InNoRoutes InTruncatedPkts
IpExt: 5 6
"""


@pytest.mark.parametrize(
    ("name", "value"), [("IPReversePathFilter", 42), ("InTruncatedPkts", 6), ("Path", 0), ("Absent", 0)]
)
def test_counter_is_found_by_its_whole_name(name: str, value: int, tmp_path: Path) -> None:
    path = tmp_path / "netstat"
    path.write_text(NETSTAT)
    assert counter(path, name) == value


def test_counter_of_a_kernel_that_has_none_is_zero(tmp_path: Path) -> None:
    assert counter(tmp_path / "none", "IPReversePathFilter") == 0


@pytest.mark.parametrize(("said", "read"), [("1", True), ("0", False), (None, None)])
def test_bridge_filter_is_unknown_without_br_netfilter(
    said: str | None, read: bool | None, tmp_path: Path
) -> None:
    if said is not None:
        path = tmp_path / "net/bridge/bridge-nf-call-iptables"
        path.parent.mkdir(parents=True)
        path.write_text(f"{said}\n")
    assert read_bridge_filter(ProcSysctls(tmp_path)) is read
