"""The availability of the in-kernel plane and the reason why it cannot run, as processes with fewer rights see it."""

from __future__ import annotations

import sys

import pytest

from flanpy.udp.bpf.probe import unavailable
from tests.netns import Namespace, namespace

pytestmark = pytest.mark.netns

_NET_ADMIN, _BPF = "+cap_12", "+cap_39"
_ASK = "from flanpy.udp.bpf.fast_path import BpfFastPath; print(BpfFastPath().unavailable())"


def _answer(at: Namespace, *capabilities: str, script: str = _ASK) -> str:
    """Run the script in a process with only these capabilities and return its output."""
    limited = ["setpriv", "--bounding-set", ",".join(("-all", *capabilities)), "--inh-caps", "-all"]
    return at.run(*limited, sys.executable, "-c", script).strip()


def test_in_kernel_plane_can_run_with_two_capabilities_and_leaves_no_trace() -> None:
    with namespace() as here:
        assert _answer(here, _NET_ADMIN, _BPF) == ""
        assert here.ip("-br link").split()[0] == "lo"
        assert len(here.ip("-br link").splitlines()) == 1


@pytest.mark.parametrize("capabilities", [(), (_NET_ADMIN,), (_BPF,)], ids=["none", "net_admin", "bpf"])
def test_in_kernel_plane_names_the_capabilities_it_lacks(capabilities: tuple[str, ...]) -> None:
    with namespace() as here:
        said = _answer(here, *capabilities)
        assert "it needs the capabilities CAP_BPF and CAP_NET_ADMIN" in said
        assert "\n" not in said


def test_in_kernel_plane_says_so_when_it_can_run() -> None:
    with namespace() as here:
        assert here.do(unavailable) == ""


_ATTACH = """
from ipaddress import IPv4Address, IPv4Network
from flanpy.model.objects import TunnelEnd
from flanpy.model.tunnel import TunnelTable
from flanpy.udp.bpf.fast_path import BpfFastPath

own, local = IPv4Network("10.50.1.0/24"), IPv4Address("10.99.0.1")
end = TunnelEnd("flannel0", "eth0", local, 8285, 1472, own, fast=True)
path = BpfFastPath()
path.attach(end, TunnelTable(local, 8285, 1472, own))
print(path.standing(end), sum(path.counters().values()))
path.detach()
print(path.standing(end), repr(path.remains()))
"""


def test_filters_are_attached_by_a_process_with_two_capabilities() -> None:
    with namespace() as here:
        here.ip("tuntap add flannel0 mode tun")
        here.ip("link add eth0 type veth peer name far")
        assert _answer(here, _NET_ADMIN, _BPF, script=_ATTACH).split() == ["True", "0", "False", "''"]
