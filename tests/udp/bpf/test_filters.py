"""Our filters among others': replaced in place, recognised after a restart, and taken away without a trace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flanpy.errors import KernelError
from flanpy.model.tunnel import Count
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.assembler import Assembler
from flanpy.udp.bpf.fast_path import BpfFastPath
from flanpy.udp.bpf.layout import FilterVerdict, leave
from flanpy.udp.bpf.netlink import INGRESS, Filter, TrafficControl
from tests.udp.bpf.hosts import OVERLAY, UNDERLAY, Host, host, joined_hosts, ping

pytestmark = pytest.mark.netns


@pytest.fixture
def alone() -> Iterator[Host]:
    """A host whose underlay leads nowhere."""
    with host(1) as one:
        one.here.ip(f"link add {UNDERLAY} type veth peer name far")
        one.here.ip(f"addr add {one.address}/24 dev {UNDERLAY}")
        one.here.ip(f"link set {UNDERLAY} up")
        yield one


def foreign_filter(
    at: Host, name: str, *, priority: int = 1, verdict: FilterVerdict = FilterVerdict.NEXT
) -> None:
    """Somebody else's BPF filter on what a link receives."""
    asm = Assembler()
    leave(asm, verdict)
    program = syscall.load_program("foreign", asm.code())
    try:
        with closing(at.here.do(TrafficControl)) as control:
            link = control.link(name)
            assert link is not None
            control.add_clsact(link)
            control.put(Filter(link.index, INGRESS, priority, 1, kind="bpf", name="foreign"), program)
    finally:
        os.close(program)


def _filters(at: Host, link: str, direction: str) -> str:
    return at.here.run("tc", "filter", "show", "dev", link, direction)


def _qdiscs(at: Host) -> str:
    return at.here.run("tc", "qdisc", "show")


def test_filters_stand_when_they_are_attached(alone: Host) -> None:
    assert not alone.path.standing(alone.end)
    assert alone.path.remains() == ""
    alone.attach()
    assert alone.path.standing(alone.end)
    assert alone.path.remains() in {OVERLAY, UNDERLAY}
    assert "flanpy_egress direct-action" in _filters(alone, OVERLAY, "egress")
    assert "flanpy_ingress direct-action" in _filters(alone, UNDERLAY, "ingress")


def test_filters_are_one_each_when_they_are_attached_again(alone: Host) -> None:
    for _ in range(3):
        alone.attach()
    assert _filters(alone, OVERLAY, "egress").count("flanpy_egress direct-action") == 1
    assert _filters(alone, UNDERLAY, "ingress").count("flanpy_ingress direct-action") == 1
    assert alone.path.counters()[Count.TX_PACKETS] == 0


@pytest.mark.parametrize(("link", "direction"), [(OVERLAY, "egress"), (UNDERLAY, "ingress")])
def test_filters_do_not_stand_when_one_was_deleted(alone: Host, link: str, direction: str) -> None:
    alone.attach()
    alone.here.run("tc", "filter", "del", "dev", link, direction)
    assert not alone.path.standing(alone.end)
    alone.attach()
    assert alone.path.standing(alone.end)


@pytest.mark.parametrize("link", [OVERLAY, UNDERLAY])
def test_filters_do_not_stand_when_a_qdisc_was_deleted(alone: Host, link: str) -> None:
    alone.attach()
    alone.here.run("tc", "qdisc", "del", "dev", link, "clsact")
    assert not alone.path.standing(alone.end)


def test_filters_do_not_stand_when_a_link_was_made_anew(alone: Host) -> None:
    alone.attach()
    alone.here.ip(f"link del {OVERLAY}")
    assert not alone.path.standing(alone.end)
    with pytest.raises(KernelError, match=f"there is no link {OVERLAY}"):
        alone.attach()
    alone.here.ip(f"tuntap add {OVERLAY} mode tun")
    assert not alone.path.standing(alone.end)
    alone.attach()
    assert alone.path.standing(alone.end)


def test_filters_do_not_stand_when_the_end_is_another(alone: Host) -> None:
    alone.attach()
    assert not alone.path.standing(replace(alone.end, port=8286))


def test_filters_carry_on_when_the_process_ends_and_are_taken_over_by_the_next() -> None:
    with joined_hosts() as (one, two):
        one.path.close()
        assert ping(one.container, two.inside)
        with closing(one.here.do(TrafficControl)) as control:
            following = BpfFastPath(control)
            assert following.remains()
            assert not following.standing(one.end), "what they forward is not known"
            following.attach(one.end, one.table(two.row()))
            assert following.standing(one.end)
            assert not one.path.standing(one.end)
            assert _filters(one, OVERLAY, "egress").count("flanpy_egress direct-action") == 1
            assert ping(one.container, two.inside)
            following.close()


def test_filters_are_deleted_by_a_process_that_attached_none(alone: Host) -> None:
    before = _qdiscs(alone)
    alone.attach()
    with closing(alone.here.do(TrafficControl)) as control:
        BpfFastPath(control).detach()
    assert not alone.path.standing(alone.end)
    assert alone.path.remains() == ""
    assert _qdiscs(alone) == before


def test_detach_does_nothing_when_there_is_nothing(alone: Host) -> None:
    before = _qdiscs(alone)
    alone.path.detach()
    alone.path.detach()
    assert _qdiscs(alone) == before


def test_filters_leave_the_link_that_is_no_longer_the_underlay(alone: Host) -> None:
    alone.attach()
    alone.here.ip("link add eth1 type veth peer name far1")
    moved = replace(alone.end, underlay="eth1")
    alone.path.attach(moved, alone.table())
    assert alone.path.standing(moved)
    assert "clsact" not in alone.here.run("tc", "qdisc", "show", "dev", UNDERLAY)


def test_foreign_filters_and_qdiscs_are_kept(alone: Host) -> None:
    foreign_filter(alone, UNDERLAY, priority=8285)
    foreign_filter(alone, UNDERLAY, priority=9000)
    foreign_filter(alone, OVERLAY)
    foreign = _filters(alone, UNDERLAY, "ingress"), _filters(alone, OVERLAY, "ingress"), _qdiscs(alone)
    for _ in range(2):
        alone.attach()
    assert alone.path.standing(alone.end)
    assert "pref 8286 bpf chain 0 handle 0x1 flanpy_ingress" in _filters(alone, UNDERLAY, "ingress")
    alone.path.detach()
    assert (
        _filters(alone, UNDERLAY, "ingress"),
        _filters(alone, OVERLAY, "ingress"),
        _qdiscs(alone),
    ) == foreign


def test_foreign_filter_behind_ours_sees_what_ours_leaves_alone() -> None:
    with joined_hosts() as (one, two):
        assert ping(one.container, two.inside)
        neighbour = one.here.json(f"neigh show dev {UNDERLAY}")[0]["lladdr"]
        one.here.ip(f"neigh replace {two.address} dev {UNDERLAY} lladdr {neighbour} nud permanent")
        neighbour = two.here.json(f"neigh show dev {UNDERLAY}")[0]["lladdr"]
        two.here.ip(f"neigh replace {one.address} dev {UNDERLAY} lladdr {neighbour} nud permanent")
        foreign_filter(one, UNDERLAY, priority=9000, verdict=FilterVerdict.DROP)
        assert ping(one.container, two.inside)
        assert " 0 received" in one.here.run(*f"ping -n -c 1 -W 1 {two.address}".split(), check=False)


def test_attach_refuses_a_device_that_is_no_tun(alone: Host) -> None:
    with pytest.raises(KernelError, match="far is no TUN device"):
        alone.path.attach(replace(alone.end, link="far"), alone.table())


def test_attach_refuses_a_tun_device_that_takes_no_egress_filters(alone: Host) -> None:
    alone.here.run("tc", "qdisc", "add", "dev", OVERLAY, "ingress")
    with pytest.raises(KernelError, match=f"{OVERLAY} has an ingress qdisc, .*tc qdisc del"):
        alone.attach()
    assert not alone.path.standing(alone.end)


def test_attach_works_on_an_underlay_with_an_ingress_qdisc(alone: Host) -> None:
    alone.here.run("tc", "qdisc", "add", "dev", UNDERLAY, "ingress")
    alone.attach()
    assert alone.path.standing(alone.end)
    alone.path.detach()
    assert "ingress" in alone.here.run("tc", "qdisc", "show", "dev", UNDERLAY), "it is not ours"


def test_attach_refuses_an_underlay_that_shares_its_filters(alone: Host) -> None:
    alone.here.run(*f"tc qdisc add dev {UNDERLAY} ingress_block 7 clsact".split())
    with pytest.raises(KernelError, match=f"filters of {UNDERLAY} are shared"):
        alone.attach()


def test_set_table_needs_filters(alone: Host) -> None:
    with pytest.raises(KernelError, match="no filters"):
        alone.path.set_table(alone.table())


def test_no_descriptor_stays_open_when_filters_come_and_go(alone: Host) -> None:
    alone.path.detach()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        alone.attach()
        with pytest.raises(KernelError):
            alone.path.attach(replace(alone.end, underlay="gone"), alone.table())
    alone.path.detach()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
