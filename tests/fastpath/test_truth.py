"""The fast path stops within a second to deliver packets that the normal path would drop, and loses no others.

Each test changes one thing under a flow that is carried fast. Nobody tells the programs: their own proofs do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.fastpath.flow import Flow, flowing
from tests.fastpath.hosts import BRIDGE, OVERLAY, UNDERLAY, VETH, Host, fast_hosts

pytestmark = pytest.mark.netns

_DELAY_S = 1.0
_ESTABLISHED = "-w -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def _is_fast(flow: Flow, one: Host, two: Host) -> None:
    """Let it flow, and see that it does so past both hosts' stacks."""
    flow.run_for(0.5)
    before = one.counts(two).fast_out[0], two.counts(one).fast_in[0]
    flow.run_for(0.5)
    after = one.counts(two).fast_out[0], two.counts(one).fast_in[0]
    assert all(new - old > 50 for new, old in zip(after, before, strict=True)), (before, after)


def _stops(change: Callable[[Host, Host], object], *, size: int = 64) -> None:
    with fast_hosts() as (one, two):
        with flowing(one.container, two.container, two.inside, size=size) as flow:
            _is_fast(flow, one, two)
            changed = time.monotonic()
            change(one, two)
            flow.run_for(2.5)
        assert flow.lost(until=changed - 0.05) == []
        assert flow.delivered(since=changed + _DELAY_S) == []


def _goes_on(change: Callable[[Host, Host], object]) -> None:
    with fast_hosts() as (one, two):
        with flowing(one.container, two.container, two.inside) as flow:
            _is_fast(flow, one, two)
            change(one, two)
            flow.run_for(2.0)
        assert flow.lost() == []


def _drop(host: Host, hook: str, more: str = "") -> None:
    host.here.run("iptables", *f"-w -I {hook} {more} -j DROP".split())


STOPPING: dict[str, Callable[[Host, Host], object]] = {
    "a rule that drops at the sender": lambda one, _: _drop(one, "FORWARD"),
    "a rule that drops at the receiver": lambda _, two: _drop(two, "FORWARD", "-p udp --dport 7000"),
    "a rule before routing at the receiver": lambda _, two: _drop(two, "PREROUTING -t raw", f"-i {OVERLAY}"),
    "a policy that drops at the sender": lambda one, _: one.here.run("iptables", "-P", "FORWARD", "DROP"),
    "a policy that drops at the receiver": lambda _, two: two.here.run("iptables", "-P", "FORWARD", "DROP"),
    "a rule on the tunnel's packets, sent": lambda one, _: _drop(one, "OUTPUT", "-p udp --dport 8472"),
    "a rule on the tunnel's packets, received": lambda _, two: _drop(two, "INPUT", "-p udp --dport 8472"),
    "forwarding switched off": lambda one, _: one.here.sysctl("net/ipv4/ip_forward", "0"),
    "the peer's route deleted": lambda one, two: one.here.ip(f"route del {two.subnet}"),
    "the peer's FDB entry deleted": lambda one, two: one.here.bridge(
        f"fdb del {two.vtep_mac} dev {OVERLAY} dst {two.address}"
    ),
    "the overlay's device set down": lambda one, _: one.here.ip(f"link set {OVERLAY} down"),
    "the receiver's bridge set down": lambda _, two: two.here.ip(f"link set {BRIDGE} down"),
    "the container's port taken from the bridge": lambda _, two: two.here.ip(f"link set {VETH} nomaster"),
    "the sender's source address rejected": lambda one, _: one.here.ip("rule add from 10.50.1.0/24 prohibit"),
}  # fmt: skip


@pytest.mark.parametrize("change", STOPPING.values(), ids=STOPPING.keys())
def test_no_packet_is_delivered_a_second_after_the_normal_path_would_drop_it(
    change: Callable[[Host, Host], object],
) -> None:
    _stops(change)


def _move_peer(one: Host, two: Host) -> None:
    """Give the peer another underlay address."""
    two.here.ip(f"addr add 10.99.0.22/24 dev {UNDERLAY}")
    one.here.bridge(f"fdb replace {two.vtep_mac} dev {OVERLAY} dst 10.99.0.22")


def _flush_conntrack(one: Host, two: Host) -> None:
    for host in (one, two):
        host.here.run(
            "iptables",
            *["-w", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        )
        host.here.run("conntrack", "-F", check=False)


def _remove_programs(one: Host, _: Host) -> None:
    for link in (VETH, UNDERLAY):
        one.here.run("tc", "qdisc", "del", "dev", link, "clsact")


def _forget(one: Host, two: Host) -> None:
    one.forget()
    two.forget()


def _keep_silent(one: Host, two: Host) -> None:
    """The daemon is dead, and its word runs out."""
    for host in (one, two):
        host.vouch(for_ns=0)


def _change_router(one: Host, _: Host) -> None:
    """Give the bridge an address that the containers do not know."""
    one.here.ip(f"addr add 10.50.1.77/24 dev {BRIDGE}")


GOING_ON: dict[str, Callable[[Host, Host], object]] = {
    "another generation": _forget,
    "the daemon silent": _keep_silent,
    "the peer's address another": _move_peer,
    "conntrack flushed": _flush_conntrack,
    "the programs removed by hand": _remove_programs,
    "an address more on the bridge": _change_router,
}


@pytest.mark.parametrize("change", GOING_ON.values(), ids=GOING_ON.keys())
def test_no_packet_is_lost_when_something_changes_that_the_normal_path_bears(
    change: Callable[[Host, Host], object],
) -> None:
    _goes_on(change)


def test_containers_address_given_to_another_leads_there_within_a_second() -> None:
    with fast_hosts() as (one, two), flowing(one.container, two.container, two.inside) as flow:
        _is_fast(flow, one, two)
        two.container.ip(f"addr del {two.inside}/24 dev eth0")
        two.here.ip(f"addr add {two.inside}/32 dev lo")  # the host itself stands for the new container
        changed = time.monotonic()
        flow.run_for(2.0)
        assert flow.delivered(since=changed + _DELAY_S) == []
        assert two.here.sysctl("net/ipv4/ip_forward") == "1"
