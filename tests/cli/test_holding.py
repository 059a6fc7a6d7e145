"""`flanpyctl subnets reserve|pin|unpin|release` on a real etcd."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.subnets import holding
from flanpy.cli.tree import build
from flanpy.model.lease import LeaseRecord, SubnetKey
from flanpy.model.network.config import parse_network_config
from flanpy.store.port import PutKey
from flanpy.store.session.etcd import EtcdSession
from tests.cli.conftest import Network
from tests.cli.stand_in import standing_in

pytestmark = pytest.mark.etcd

CONFIG = '{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan"}}'
DUAL = '{"Network":"10.50.0.0/16","EnableIPv6":true,"IPv6Network":"fd50:1::/48","Backend":{"Type":"vxlan"}}'
VXLAN = (
    '{"PublicIP":"192.0.2.%d","PublicIPv6":null,"BackendType":"vxlan",'
    '"BackendData":{"VNI":1,"VtepMAC":"02:00:5e:10:00:01"}%s}'
)
OWN = VXLAN % (1, ',"NodeID":"node-1"')
KEY = "10.50.7.0-24"


@pytest.fixture
def configured(network: Network) -> Network:
    network.configure(CONFIG)
    return network


def lease_of(network: Network, key: str) -> int | None:
    """The etcd lease that a subnet key is bound to, 0 for none, None without the key."""
    found = network.session(lambda session: session.get(f"{network.prefix}/subnets/{key}"))
    return None if found is None else found.lease_id


def test_reserve_writes_what_flannel_understands_and_binds_it_to_no_lease(configured: Network) -> None:
    ended = configured("subnets", "reserve", "10.50.7.0/24", "--public-ip", "192.0.2.7")
    assert (ended.code, ended.out, ended.err) == (0, "10.50.7.0/24 is reserved\n", "")
    assert configured.text(f"subnets/{KEY}") == '{"PublicIP":"192.0.2.7","PublicIPv6":null}'
    assert lease_of(configured, KEY) == 0


def test_reserve_for_a_node_of_both_families(network: Network) -> None:
    network.configure(DUAL)
    ended = network("subnets", "reserve", "10.50.7.0/24,fd50:1:0:7::/64", "--for-node", "node-7")
    assert ended.code == 0
    shown = json.loads(network("subnets", "show", "node-7", "-o", "json").out)
    assert (shown["subnet"], shown["subnet6"], shown["reservation"]) == (
        "10.50.7.0/24",
        "fd50:1:0:7::/64",
        True,
    )


def test_reserve_twice_is_fine_if_it_is_the_same_and_6_if_not(configured: Network) -> None:
    words = ("subnets", "reserve", "10.50.7.0/24", "--public-ip")
    assert configured(*words, "192.0.2.7").code == 0
    assert configured(*words, "192.0.2.7").out == "10.50.7.0/24 is reserved so already\n"
    ended = configured(*words, "192.0.2.8")
    assert ended.code == 6
    assert ended.err == "flanpyctl: 10.50.7.0/24 is taken: 10.50.7.0/24 is held by 192.0.2.7\n"


@pytest.mark.parametrize("held", ["10.50.0.0-20", "10.50.7.128-25"])
def test_reserve_exits_6_when_another_subnet_overlaps(held: str, configured: Network) -> None:
    configured.put(held, VXLAN % (9, ""), ttl=1000)
    ended = configured("subnets", "reserve", "10.50.7.0/24", "--public-ip", "192.0.2.7")
    assert ended.code == 6
    assert "192.0.2.9" in ended.err
    assert lease_of(configured, KEY) is None


@pytest.mark.parametrize("came", [KEY, "10.50.7.128-25"])
def test_reserve_is_a_conflict_when_the_subnet_is_leased_between_look_and_write(
    came: str, configured: Network
) -> None:
    async def work(session: EtcdSession) -> None:
        table = await holding.Holdings.read(session, configured.prefix, own=None)
        await session.put(f"{configured.prefix}/subnets/{came}", (VXLAN % (9, "")).encode())
        wanted = SubnetKey(IPv4Network("10.50.7.0/24"))
        await holding.create(
            table, parse_network_config(CONFIG), wanted, LeaseRecord(IPv4Address("192.0.2.7"))
        )

    with pytest.raises(CommandError, match="meanwhile") as raised:
        configured.session(work)
    assert raised.value.code is Exit.CONFLICT
    assert "192.0.2.7" not in (configured.text(f"subnets/{KEY}") or "")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["10.50.7.0/25", "--public-ip", "192.0.2.7"], "10.50.7.0/25"),
        (["10.50.0.0/24", "--public-ip", "192.0.2.7"], "10.50.0.0/24"),
        (["10.60.7.0/24", "--public-ip", "192.0.2.7"], "10.60.7.0/24"),
        (["10.50.7.1/24", "--public-ip", "192.0.2.7"], "10.50.7.1/24"),
        (["10.50.7.0/24"], "--public-ip"),
        (["10.50.7.0/24", "--public-ip", "192.0.2.777"], "192.0.2.777"),
    ],
    ids=" ".join,
)
def test_reserve_exits_2_when_the_subnet_or_the_host_is_wrong(
    words: list[str], named: str, configured: Network
) -> None:
    ended = configured("subnets", "reserve", *words)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert named in ended.err


def test_reserve_exits_4_without_a_network_config(network: Network) -> None:
    assert network("subnets", "reserve", "10.50.7.0/24", "--public-ip", "192.0.2.7").code == 4


def test_pin_takes_the_lease_off_and_unpin_gives_one_back_with_the_value_untouched(
    configured: Network,
) -> None:
    lease = configured.put(KEY, VXLAN % (7, ',"Extra":[1]'), ttl=1000)
    before = configured.text(f"subnets/{KEY}")
    assert configured("subnets", "pin", "192.0.2.7").out == "10.50.7.0/24 of 192.0.2.7 is reserved now\n"
    assert lease_of(configured, KEY) == 0
    configured.session(lambda session: session.revoke(lease))
    assert configured.text(f"subnets/{KEY}") == before, "the end of the old lease takes nothing along"
    assert configured("subnets", "unpin", "10.50.7.0/24").out.endswith(" is a lease of 86400 s now\n")
    assert lease_of(configured, KEY) not in (0, None)
    assert configured.text(f"subnets/{KEY}") == before


def test_pin_of_a_reservation_and_unpin_of_a_lease_change_nothing(configured: Network) -> None:
    configured.put(KEY, VXLAN % (7, ""))
    lease = configured.put("10.50.8.0-24", VXLAN % (8, ""), ttl=1000)
    assert configured("subnets", "pin", "10.50.7.0/24").out == "10.50.7.0/24 is reserved already\n"
    assert configured("subnets", "unpin", "10.50.8.0/24").out == "10.50.8.0/24 is a lease already\n"
    assert (lease_of(configured, KEY), lease_of(configured, "10.50.8.0-24")) == (0, lease)


@pytest.mark.parametrize("command", ["pin", "unpin", "release"])
def test_command_exits_4_when_there_is_no_such_subnet(command: str, configured: Network) -> None:
    assert configured("subnets", command, "10.50.7.0/24").code == 4


@pytest.mark.parametrize("ttl", [1000, 0], ids=["lease", "reservation"])
def test_release_exits_7_while_a_host_uses_the_subnet_and_does_it_with_force(
    ttl: int, configured: Network
) -> None:
    configured.put(KEY, VXLAN % (7, ""), ttl=ttl)
    refused = configured("subnets", "release", "10.50.7.0/24")
    assert refused.code == 7
    assert "192.0.2.7" in refused.err
    assert "--force" in refused.err
    assert lease_of(configured, KEY) is not None
    assert configured("subnets", "release", "10.50.7.0/24", "--force").code == 0
    assert lease_of(configured, KEY) is None


def test_release_of_a_reservation_that_no_host_took_needs_no_force(configured: Network) -> None:
    configured("subnets", "reserve", "10.50.7.0/24", "--public-ip", "192.0.2.7")
    ended = configured("subnets", "release", "10.50.7.0/24")
    assert (ended.code, ended.out) == (0, "10.50.7.0/24 of 192.0.2.7 is released\n")
    assert lease_of(configured, KEY) is None


def test_release_of_the_own_lease_is_refused_only_while_the_daemon_runs(configured: Network) -> None:
    configured.put(KEY, OWN, ttl=1000)
    with standing_in(configured.ctl.run_dir):
        assert configured("subnets", "release", "own").code == 7
    assert configured("subnets", "release", "own").code == 0
    assert lease_of(configured, KEY) is None


def test_release_of_an_unreadable_key_needs_force(configured: Network) -> None:
    configured.put("junk", "{")
    assert configured("subnets", "release", "junk").code == 7
    assert configured("subnets", "release", "junk", "--force").out == "key 'junk' is deleted\n"
    assert lease_of(configured, "junk") is None


@pytest.mark.parametrize("change", [None, b"new"], ids=["deleted", "written"])
def test_change_is_a_conflict_when_the_host_was_faster(change: bytes | None, configured: Network) -> None:
    configured.put(KEY, VXLAN % (7, ""))
    path = f"{configured.prefix}/subnets/{KEY}"

    async def work(session: EtcdSession) -> None:
        table = await holding.Holdings.read(session, configured.prefix, own=None)
        await (session.delete(path) if change is None else session.put(path, change))
        await table.write(table.seen(KEY), PutKey(path, b"ours"))

    with pytest.raises(CommandError) as raised:
        configured.session(work)
    assert raised.value.code is Exit.CONFLICT
    assert configured.text(f"subnets/{KEY}") == (change and change.decode())


def test_release_own_gives_back_the_own_lease_and_no_other(configured: Network) -> None:
    configured.put(KEY, OWN, ttl=1000)
    configured.put("10.50.8.0-24", VXLAN % (8, ""), ttl=1000)
    host = Host(build().parse_args(["subnets", "release", "own", *configured.flags]))
    holding.release_own(host)
    assert (lease_of(configured, KEY), lease_of(configured, "10.50.8.0-24") is not None) == (None, True)
    holding.release_own(host)  # again is fine
