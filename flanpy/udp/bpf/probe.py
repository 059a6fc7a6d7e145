"""The test for the in-kernel plane on this host: a trial on a TUN device made for it and removed at once.

Owns the sentences that give an operator the reason for a refusal. Must not: touch a link that was there before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network

from flanpy.errors import KernelError
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.egress import egress
from flanpy.udp.bpf.filters import NAMES, FilterPlace, Filters
from flanpy.udp.bpf.ingress import ingress
from flanpy.udp.bpf.layout import ETHERNET, Wiring
from flanpy.udp.bpf.maps import CounterMap, PeerMap
from flanpy.udp.bpf.netlink import EGRESS, INGRESS, TrafficControl

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IFREQ = struct.Struct("16sH22x")
_DEVICE = "/dev/net/tun"
_NAME = b"fpprobe%d"  # the kernel puts in a number that is free

_PERMISSION = {
    errno.EPERM: "flanpyd may not use it: it needs the capabilities CAP_BPF and CAP_NET_ADMIN",
    errno.ENOSYS: "this kernel has no bpf(2)",
}
_OLD = "this kernel does not support it (5.10 or newer is needed)"
_ABSENT = "this kernel has no clsact qdisc or no BPF filters (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF)"


def unavailable(open_control: Callable[[], TrafficControl] = TrafficControl) -> str:
    """Why the in-kernel plane cannot run here; "" if it can."""
    with ExitStack() as stack:
        try:
            programs = _programs(stack)
        except KernelError as error:
            return _sentence(error, _OLD)
        try:
            _try_out(stack, open_control, programs)
        except KernelError as error:
            return _sentence(error, _ABSENT)
    return ""


def _sentence(error: KernelError, otherwise: str) -> str:
    return f"{_PERMISSION.get(error.errno, otherwise)}: {error}"


def _programs(stack: ExitStack) -> dict[int, int]:
    """Descriptors of both programs by the parent they are for."""
    peers, counters = PeerMap(), None
    stack.callback(peers.close)
    counters = CounterMap()
    stack.callback(counters.close)
    here = IPv4Address("127.0.0.1")
    wiring = Wiring(
        underlay=1, overlay=1, mac=ETHERNET, local=here, port=8285, mtu=1472, own=IPv4Network(here),
        peers=peers.descriptor, counters=counters.descriptor,
    )  # fmt: skip
    codes = {EGRESS: egress(wiring), INGRESS: ingress(wiring)}
    programs = {parent: syscall.load_program(NAMES[parent], code) for parent, code in codes.items()}
    for descriptor in programs.values():
        stack.callback(os.close, descriptor)
    return programs


def _try_out(stack: ExitStack, open_control: Callable[[], TrafficControl], programs: dict[int, int]) -> None:
    name = _make_device(stack)
    control = open_control()
    stack.callback(control.close)
    link = control.link(name)
    if link is None:
        raise KernelError(f"{name} was deleted", errno=errno.ENODEV)
    for parent, program in programs.items():
        Filters(control).put(FilterPlace(link, parent), program)


def _make_device(stack: ExitStack) -> str:
    """A TUN device that ends with its descriptor."""
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        made = fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(_NAME, _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        raise KernelError("cannot make a TUN device to try it on", errno=error.errno or 0) from error
    return made[:16].split(b"\0", 1)[0].decode()
