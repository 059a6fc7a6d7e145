"""The alloc backend: a lease and an MTU, and no object but forwarding."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from flanpy.backend import choice
from flanpy.backend.alloc import AllocBackend
from flanpy.model.lease import LeaseRecord
from flanpy.model.objects import HostSysctl
from flanpy.plan.admission import admit
from tests.states import POLICY, as_backend, crowd, moved

BACKEND = AllocBackend()
WORLD = as_backend("alloc", crowd(3))


def test_nothing_is_wanted_but_that_the_host_forwards() -> None:
    assert list((choice.plan(WORLD, admit(WORLD).peers) or {}).values()) == [
        HostSysctl("net.ipv4.ip_forward", "1")
    ]
    assert choice.links(WORLD) == frozenset()


def test_record_has_no_backend_type_as_flannels() -> None:
    assert BACKEND.advertise(WORLD) == LeaseRecord(
        IPv4Address("192.0.2.10"), None, "", node_id=POLICY.node_id
    )


def test_mtu_is_the_underlays() -> None:
    assert choice.mtu(replace(WORLD, facts=moved(mtu=9000))) == 9000


def test_leases_of_any_backend_are_peers_since_nothing_leads_to_them() -> None:
    mixed = replace(WORLD, view=crowd(3).view)
    admission = admit(mixed)
    assert (len(admission.peers), admission.rejected) == (3, ())
    assert "something else connects" in choice.ways(mixed)(admission.peers[0]).reason
