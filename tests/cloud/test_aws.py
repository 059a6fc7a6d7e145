"""The keeper on AWS: the real client against moto over HTTP, and against a gate that fails as AWS does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

import botocore.session
import pytest

from flanpy.clock import Clock, SystemClock
from flanpy.cloud.aws import AwsRoutes
from flanpy.cloud.keeper import CloudKeeper, KeeperParts, WantedRoute
from flanpy.cloud.port import Calls
from flanpy.cloud.removal import remove_claimed
from flanpy.doctor.permissions import IAM_POLICY
from flanpy.errors import CloudError
from flanpy.model.cloud import AWS, CloudFault, CloudHere, CloudRecord, CloudRoute, CloudStatus, CloudWanted
from integration.cloud.aws_side import AwsSide, policy
from tests.cloud.conftest import ADDRESS, NETWORK, Registry
from tests.fakes.clock import FakeClock

SUBNET, OTHER = IPv4Network("10.50.5.0/24"), IPv4Network("10.50.6.0/24")
WANTED = CloudWanted(AWS, "h1", NETWORK, 24, subnet=SUBNET, settled=True,
                     leased=frozenset({SUBNET}), hosts=("h1",), judges=True)  # fmt: skip


class Rig:
    """One host's keeper; `looked` makes it look, in time that is moved by hand."""

    def __init__(self, *, was: IPv4Network | None = None, registry: Registry | None = None, number: int = 1,
                 clock: Clock | None = None) -> None:  # fmt: skip
        self.clock = clock or FakeClock()
        self.registry = registry or Registry()
        self.made: list[CloudHere | None] = []
        self.statuses: list[CloudStatus] = []
        calls = Calls()
        self.keeper = CloudKeeper(
            KeeperParts(AwsRoutes(calls), self.registry, calls), clock=self.clock, interval=180.0,
            publish=self.statuses.append, made=self.made.append, was=was, rng=Random(number),
        )  # fmt: skip

    def looked(self, wanted: CloudWanted = WANTED, address: IPv4Address = ADDRESS) -> CloudStatus:
        asyncio.run(self.keeper.look(WantedRoute(wanted, address)))
        return self.statuses[-1]

    def later(self, seconds: float) -> None:
        assert isinstance(self.clock, FakeClock)
        asyncio.run(self.clock.advance(seconds))


def test_host_finds_itself_by_metadata_and_makes_its_route_in_the_main_table(aws: AwsSide) -> None:
    interface = aws.add_host(str(ADDRESS), called="h1")
    assert aws.checks(interface)
    rig = Rig()
    status = rig.looked()
    assert (status.trouble, status.denied, status.standing) == (None, (), SUBNET)
    assert aws.routes() == {str(SUBNET): interface}
    assert not aws.checks(interface)
    assert rig.registry.kept == {SUBNET: CloudRecord(interface, "h1", aws.main, (aws.main,))}
    assert rig.made == [CloudHere(AWS, interface, SUBNET)]
    before = aws.calls()
    assert rig.looked().standing == SUBNET
    after = aws.calls()
    # an idle look costs two calls, and changes nothing
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)} == {
        "DescribeNetworkInterfaces ok": 1, "DescribeRouteTables ok": 1,
    }  # fmt: skip


def test_route_goes_into_the_subnets_own_table_and_into_those_of_other_hosts(aws: AwsSide) -> None:
    table = aws.new_table(aws.subnet)
    aws.add_host(str(ADDRESS), called="h1")
    rig = Rig()
    rig.looked()
    assert (set(aws.routes(table)), aws.routes()) == ({str(SUBNET)}, {})
    # a host in a subnet that goes by the main table joins
    rig.registry.kept[OTHER] = CloudRecord("eni-other", "h2", aws.main)
    rig.looked()
    assert set(aws.routes()) == {str(SUBNET)}


def test_named_tables_are_all_written_and_a_wrong_one_or_a_lacking_one_is_told(aws: AwsSide) -> None:
    own, second = aws.new_table(aws.subnet), aws.new_table()
    aws.add_host(str(ADDRESS), called="h1")
    status = Rig().looked(replace(WANTED, tables=(second, "rtb-0123456789abcdef0")))
    assert status.trouble is not None
    assert (status.trouble.fault, "rtb-0123456789abcdef0" in status.trouble.text) == (
        CloudFault.WRONG_TABLE,
        True,
    )
    status = Rig().looked(replace(WANTED, tables=(second,)))
    assert (set(aws.routes(second)), status.misplaced) == ({str(SUBNET)}, own)


def test_route_deleted_or_led_elsewhere_by_hand_is_put_right_only_by_proof(aws: AwsSide) -> None:
    interface = aws.add_host(str(ADDRESS), called="h1")
    stranger = aws.add_host("10.99.1.77", called="h77")
    rig = Rig()
    rig.looked()
    aws.delete(str(SUBNET))
    rig.looked()
    assert aws.routes() == {str(SUBNET): interface}
    # somebody's route, of whom no lease, record or state says that it is an overlay's: told, and left alone
    aws.delete(str(SUBNET))
    aws.put(str(SUBNET), stranger)
    fresh = Rig()
    status = fresh.looked()
    assert [route.target for route in status.plan.foreign] == [stranger]
    assert (status.standing, aws.routes()) == (None, {str(SUBNET): stranger})
    # the proofs: what it leads to is gone; a lease names it; a record says who made it
    aws.fail(gone=[stranger])
    assert fresh.looked().standing == SUBNET
    for proof in ("lease", "record"):
        aws.fail()
        aws.delete(str(SUBNET))
        aws.put(str(SUBNET), stranger)
        proven = Rig()
        proven.registry.kept = {SUBNET: CloudRecord(stranger, "h9")} if proof == "record" else {}
        proven.looked(replace(WANTED, targets={OTHER: stranger}) if proof == "lease" else WANTED)
        assert aws.routes() == {str(SUBNET): interface}, proof


def test_route_that_flannel_made_for_this_host_is_taken_over_in_place(aws: AwsSide) -> None:
    interface = aws.add_host(str(ADDRESS), called="h1")
    aws.put(str(SUBNET), interface)
    rig, before = Rig(), aws.calls()
    assert rig.looked().standing == SUBNET
    after = aws.calls()
    assert {
        after.get(f"{name} ok", 0) - before.get(f"{name} ok", 0)
        for name in ("CreateRoute", "ReplaceRoute", "DeleteRoute")
    } == {0}
    assert rig.registry.kept[SUBNET].target == interface


@pytest.mark.parametrize(
    ("faults", "fault", "action"),
    [
        ({"down": True}, CloudFault.UNREACHABLE, "ec2:DescribeNetworkInterfaces"),
        ({"per_second": 0.001}, CloudFault.THROTTLED, "ec2:DescribeNetworkInterfaces"),
        ({"garbage": True}, CloudFault.REFUSED, "look"),
        ({"full": True}, CloudFault.FULL, "ec2:CreateRoute"),
        ({"deny": ["CreateRoute"]}, CloudFault.DENIED, "ec2:CreateRoute"),
        ({"deny": ["DescribeRouteTables"]}, CloudFault.DENIED, "ec2:DescribeRouteTables"),
        (
            {"deny": ["ModifyNetworkInterfaceAttribute"]},
            CloudFault.UNFIT,
            "ec2:ModifyNetworkInterfaceAttribute",
        ),
    ],
)
def test_refusal_is_told_with_awss_words_and_is_over_with_its_cause(
    aws: AwsSide, faults: dict[str, object], fault: CloudFault, action: str
) -> None:
    aws.add_host(str(ADDRESS), called="h1")
    aws.fail(**faults)
    rig = Rig()
    status = rig.looked()
    assert status.trouble is not None
    assert (status.trouble.fault, status.trouble.action) == (fault, action)
    assert "c2VjcmV0" not in str(status)
    assert (status.standing is None) is (fault is not CloudFault.UNFIT)
    aws.fail()
    status = rig.looked()
    assert (status.trouble, status.standing) == (None, SUBNET)


def test_permission_that_only_the_future_needs_is_told_before_it_is_needed(aws: AwsSide) -> None:
    aws.add_host(str(ADDRESS), called="h1")
    aws.fail(deny=["DeleteRoute", "ReplaceRoute"])
    status = Rig().looked()
    assert (status.standing, {one.action for one in status.denied}) == (
        SUBNET,
        {"ec2:ReplaceRoute", "ec2:DeleteRoute"},
    )


def test_route_is_taken_back_when_no_subnet_is_held_unless_etcd_was_not_heard(aws: AwsSide) -> None:
    aws.add_host(str(ADDRESS), called="h1")
    rig = Rig()
    rig.looked()
    nothing = replace(WANTED, subnet=None, leased=frozenset())
    rig.looked(replace(nothing, settled=False, judges=False))
    assert set(aws.routes()) == {str(SUBNET)}
    rig.looked(nothing)
    assert (aws.routes(), rig.registry.kept, rig.made[-1], rig.keeper.idle) == ({}, {}, None, True)


def test_route_left_behind_is_not_taken_from_the_subnets_next_owner(aws: AwsSide) -> None:
    interface = aws.add_host(str(ADDRESS), called="h1")
    rig = Rig()
    rig.looked()
    rig.registry.leased.add(SUBNET)  # by another host, which has not made its route yet
    rig.looked(replace(WANTED, subnet=None, leased=frozenset({SUBNET})))
    assert aws.routes() == {str(SUBNET): interface}


def test_stale_route_goes_after_an_interval_by_the_first_host_whose_turn_it_is(aws: AwsSide) -> None:
    aws.add_host(str(ADDRESS), called="h1")
    dead = aws.add_host("10.99.1.66", called="h66")
    aws.put(str(OTHER), dead)
    rig = Rig()
    rig.registry.kept[OTHER] = CloudRecord(dead, "h6")
    rig.looked()
    assert str(OTHER) in aws.routes()
    rig.later(179)
    rig.looked(replace(WANTED, leased=frozenset({SUBNET, OTHER})))  # its host is back
    rig.later(179)
    rig.looked()
    assert str(OTHER) in aws.routes()
    rig.later(181)
    rig.registry.leased.add(OTHER)  # and this is what etcd says at last
    rig.looked()
    assert str(OTHER) in aws.routes()
    rig.registry.leased.clear()
    rig.looked(replace(WANTED, judges=False))
    rig.later(181)
    rig.looked()
    assert str(OTHER) in aws.routes()  # as long as leases were not known, nothing was stale
    rig.later(181)
    status = rig.looked()
    assert (set(aws.routes()), OTHER in rig.registry.kept) == ({str(SUBNET)}, False)
    assert status.changes["stale"] == 1


def test_claim_is_kept_while_aws_may_still_delete_and_given_up_once_it_has_answered(aws: AwsSide) -> None:
    interface = aws.add_host(str(ADDRESS), called="h1")
    route = CloudRoute(aws.main, SUBNET, interface)
    aws.put(str(SUBNET), interface)
    faults: list[tuple[dict[str, object], type[Exception], set[IPv4Network], float]] = [
        ({"deny": ["DeleteRoute"]}, CloudError, set(), 30.0),
        ({"down": True}, CloudError, {SUBNET}, 30.0),
        ({"slow": 0.5}, TimeoutError, {SUBNET}, 0.3),  # nobody waits for the answer any more
    ]
    for fault, error, claims, patience in faults:
        registry, provider = Registry(), AwsRoutes(Calls())
        provider.host(ADDRESS)
        aws.fail(**fault)
        with pytest.raises(error):
            asyncio.run(asyncio.wait_for(remove_claimed(provider, registry, route), patience))
        assert registry.claims == claims, fault
        aws.fail()
        assert asyncio.run(remove_claimed(provider, registry, route)) is (not claims)


def test_subnet_that_is_leased_again_waits_for_the_end_of_a_removal(aws: AwsSide) -> None:
    aws.add_host(str(ADDRESS), called="h1")
    rig = Rig()
    rig.looked()
    rig.looked(replace(WANTED, subnet=None, leased=frozenset()))
    rig.registry.claims.add(SUBNET)  # another host removes what it takes for a stale route
    status = rig.looked()
    assert (status.standing, status.trouble is not None, aws.routes()) == (None, True, {})
    rig.registry.claims.clear()
    assert rig.looked().standing == SUBNET


def test_table_that_is_named_no_more_loses_our_route_and_keeps_one_that_a_person_made(aws: AwsSide) -> None:
    second, third = aws.new_table(), aws.new_table()
    interface = aws.add_host(str(ADDRESS), called="h1")
    aws.put(str(SUBNET), interface, third)
    rig = Rig()
    rig.looked(replace(WANTED, tables=(aws.main, second)))
    assert [set(aws.routes(one)) for one in ("", second, third)] == [{str(SUBNET)}] * 3
    status = rig.looked(replace(WANTED, tables=(aws.main,)))
    assert (status.trouble, status.standing) == (None, SUBNET)
    assert [set(aws.routes(one)) for one in ("", second, third)] == [{str(SUBNET)}, set(), {str(SUBNET)}]
    assert rig.registry.kept[SUBNET].written == (aws.main,)


def test_printed_policy_is_enough_and_each_of_its_parts_is_needed(aws: AwsSide) -> None:
    """moto's IAM judges every call here by signature, action and resource; the policy is that of the how-to."""
    aws.add_host(str(ADDRESS), called="h1")
    assert json.loads(policy()) == json.loads(IAM_POLICY)
    called = set()
    for denied in sorted(
        one.removeprefix("ec2:") for part in json.loads(IAM_POLICY)["Statement"] for one in part["Action"]
    ):
        aws.fail(deny=[denied])
        status = Rig().looked()
        told = [*status.denied, *([status.trouble] if status.trouble else [])]
        assert f"ec2:{denied}" in {one.action for one in told}, told
        assert f"not authorized to perform: ec2:{denied}" in str(told)
        called.add(denied)
    assert len(called) == 6
    aws.fail(policy=IAM_POLICY.replace("route-table/*", "route-table/rtb-00000000000000000"))
    status = Rig().looked()
    assert (status.trouble or status.denied[0]).fault is CloudFault.DENIED
    aws.fail()
    assert (Rig().looked().denied, Rig().looked().trouble) == ((), None)


def test_credentials_that_aws_does_not_know_are_named_and_shown_nowhere(
    aws: AwsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.session.get_session", botocore.session.Session)  # which has found none yet
    aws.add_host(str(ADDRESS), called="h1", secret="wrong-secret")
    status = Rig().looked()
    assert status.trouble is not None
    assert status.trouble.fault is CloudFault.CREDENTIALS
    assert not any(secret in str(status) for secret in (*aws.secrets, "wrong-secret"))


def test_fifty_hosts_that_start_at_once_do_not_throttle_each_other_out(
    aws: AwsSide, aws_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS has tokens for a fraction of the calls that 50 hosts make at once; each host has its route all the same."""
    registry, most = Registry(), 50
    subnets = [IPv4Network((int(NETWORK.network_address) + (n << 8), 24)) for n in range(1, most + 1)]
    rigs = []
    for n, subnet in enumerate(subnets, 1):
        aws.add_host(f"10.99.2.{n}", called=f"n{n}")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{aws_port}/n{n}")
        rig = Rig(registry=registry, number=n, clock=SystemClock())
        wanted = replace(WANTED, node_id=f"h{n}", subnet=subnet, leased=frozenset(subnets))
        rig.keeper.ask(WantedRoute(wanted, IPv4Address(f"10.99.2.{n}")))
        rigs.append(rig)
    aws.fail(per_second=60)
    asyncio.run(_until_all_stand(rigs))
    assert len(aws.routes()) == most
    calls = aws.calls()
    throttled = sum(times for name, times in calls.items() if name.endswith("throttled"))
    answered = sum(times for name, times in calls.items() if name.endswith("ok"))
    assert 0 < throttled < answered


async def _until_all_stand(rigs: list[Rig]) -> None:
    tasks = [asyncio.create_task(rig.keeper.run()) for rig in rigs]
    async with asyncio.timeout(60):
        while any(rig.keeper.status is None or rig.keeper.status.standing is None for rig in rigs):
            await rigs[0].clock.sleep(0.05)
    for task in tasks:
        task.cancel()
