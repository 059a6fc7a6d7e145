"""A host made by hand in a namespace, as flanpyd would have it, and what a daemon there would say: for breaking."""

from __future__ import annotations

import copy
import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from flanpy.errors import ControlUnreachable
from flanpy.trace.hop import Walk
from flanpy.trace.read import Reading
from flanpy.trace.walk import walk
from tests.netns import Namespace, namespace

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000

PEER_MAC = "02:00:5e:10:00:02"

_LINES = """
link add eth0 type veth peer name wire
link set wire up
link set eth0 up mtu 1500
addr add 192.0.2.11/24 dev eth0
addr add 2001:db8::11/64 dev eth0 nodad
route add default via 192.0.2.1
link add docker0 type bridge
link add port0 type veth peer name inside
link set inside up
link set port0 master docker0 up
link set docker0 up mtu 1450
addr add 10.50.1.1/24 dev docker0
addr add fd50:1:0:1::1/64 dev docker0 nodad
"""

_VXLAN = f"""
link add flannel.1 address 02:00:5e:10:00:01 mtu 1450 type vxlan id 1 dstport 8472 local 192.0.2.11 dev eth0 nolearning
link set flannel.1 up
addr add 10.50.1.0/32 dev flannel.1
neigh replace 10.50.2.0 dev flannel.1 lladdr {PEER_MAC} nud permanent
route add 10.50.2.0/24 via 10.50.2.0 dev flannel.1 onlink proto 70
link add flannel-v6.1 mtu 1430 type vxlan id 1 dstport 8472 local 2001:db8::11 dev eth0 nolearning
link set flannel-v6.1 address 02:00:5e:10:00:0a
link set flannel-v6.1 up
addr add fd50:1:0:1::/128 dev flannel-v6.1 nodad
neigh replace fd50:1:0:2:: dev flannel-v6.1 lladdr 02:00:5e:10:00:0b nud permanent
route add fd50:1:0:2::/64 via fd50:1:0:2:: dev flannel-v6.1 onlink proto 70
"""

_TUN = """
link set flannel0 up mtu 1472
addr add 10.50.1.0/32 dev flannel0
route add 10.50.0.0/16 dev flannel0 proto 70 metric 100
"""


def _lease(number: int, **more: Any) -> dict[str, Any]:
    return {
        "node_id": f"node-{number}",
        "subnet": f"10.50.{number}.0/24",
        "subnet6": f"fd50:1:0:{number}::/64",
        "public_ip": f"192.0.2.1{number}",
        "public_ip6": f"2001:db8::1{number}",
        "backend_type": "vxlan",
        "vtep_mac": f"02:00:5e:10:00:0{number}",
        "vtep_mac6": f"02:00:5e:10:00:0{'ab'[number - 1]}",
        "state": "own" if number == 1 else "programmed",
        "reason": "",
        "way": "" if number == 1 else "tunnel",
        **more,
    }


_LINK = {
    "name": "flannel.1",
    "mac": "02:00:5e:10:00:01",
    "vni": 1,
    "port": 8472,
    "mtu": 1450,
    "local": "192.0.2.11",
}
_LINK6 = {**_LINK, "name": "flannel-v6.1", "mac": "02:00:5e:10:00:0a", "mtu": 1430, "local": "2001:db8::11"}
_PEER = {"node_id": "node-2", "subnet": "10.50.2.0/24", "subnet6": "fd50:1:0:2::/64", "reach": "reachable"}

_DOCUMENTS: Mapping[str, Any] = {
    "status": {
        "network": {"network": "10.50.0.0/16", "network6": "fd50:1::/48", "backend_type": "vxlan"},
        "backend": {"type": "vxlan", "links": [_LINK, _LINK6], "data_plane": None},
    },
    "subnets": {"subnets": [_lease(1), _lease(2)]},
    "peers": {"peers": [_PEER]},
}


@dataclass
class Rig:
    """The host, and the daemon's documents to be changed at will; None is a daemon that does not run."""

    here: Namespace
    directory: Path
    opened: ExitStack
    said: dict[str, Any] | None = field(default_factory=lambda: copy.deepcopy(dict(_DOCUMENTS)))

    def trace(self, destination: str = "10.50.2.7", source: str = "") -> Walk:
        """Trace the walk of a packet from here now."""
        reading = Reading(self._ask, self.directory / "tunnel.json")
        target, start = ip_address(destination), ip_address(source) if source else None
        return walk(self.here.do(lambda: reading.look(target, start)))

    def _ask(self, resource: str) -> Any:
        if self.said is None:
            raise ControlUnreachable("no flanpyd listens here")
        return self.said[resource]

    @property
    def peer(self) -> dict[str, Any]:
        """The peer's lease."""
        assert self.said is not None
        row: dict[str, Any] = self.said["subnets"]["subnets"][1]
        return row

    @property
    def probed(self) -> dict[str, Any]:
        """Return the probes' report on the peer."""
        assert self.said is not None
        row: dict[str, Any] = self.said["peers"]["peers"][0]
        return row

    @property
    def link(self) -> dict[str, Any]:
        """The overlay's link as the daemon wants it."""
        assert self.said is not None
        row: dict[str, Any] = self.said["status"]["backend"]["links"][0]
        return row

    def ip(self, *lines: str) -> None:
        for line in lines:
            self.here.ip(line)

    def turn_to_udp(self) -> None:
        """The same host with the UDP backend."""
        self.ip("link del flannel.1")
        self.opened.callback(os.close, self.here.do(_open_tun))
        self.ip(*_TUN.strip().splitlines())
        assert self.said is not None
        self.said["status"]["network"]["backend_type"] = "udp"
        link = {**_LINK, "name": "flannel0", "mac": None, "vni": None, "port": 8285, "mtu": 1472}
        self.said["status"]["backend"] = {"type": "udp", "links": [link], "data_plane": "kernel"}
        (self.directory / "tunnel.json").write_text('[["flannel0", "10.50.2.0/24", "192.0.2.12", true]]')

    def turn_to_host_gw(self) -> None:
        """The same host with the host-gw backend."""
        self.ip("link del flannel.1", "route add 10.50.2.0/24 via 192.0.2.12 proto 70")
        assert self.said is not None
        self.said["status"]["network"]["backend_type"] = "host-gw"
        self.said["status"]["backend"] = {"type": "host-gw", "links": [], "data_plane": None}
        self.peer["way"] = "direct"


def _open_tun() -> int:
    """A TUN device has a carrier only while somebody has it open."""
    queue = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(queue, _TUNSETIFF, struct.pack("16sH22x", b"flannel0", _IFF_TUN | _IFF_NO_PI))
    return queue


@contextmanager
def traced_host(directory: Path) -> Iterator[Rig]:
    with namespace("trace") as here:
        here.sysctl("net/ipv4/ip_forward", "1")
        here.sysctl("net/ipv6/conf/all/forwarding", "1")
        here.run("ip", "-batch", "-", stdin=(_LINES + _VXLAN).strip())
        here.bridge(f"fdb append {PEER_MAC} dev flannel.1 dst 192.0.2.12 self permanent")
        here.bridge("fdb append 02:00:5e:10:00:0b dev flannel-v6.1 dst 2001:db8::12 self permanent")
        with ExitStack() as opened:
            yield Rig(here, directory, opened)
