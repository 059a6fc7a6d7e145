#!/usr/bin/env python3
"""flanneld with the udp backend, as far as another daemon meets it: what it makes, what it leaves, what it needs.

Takes flannel's flags. It finds or makes its lease by its public IP, opens a TUN device under the first free name of
`flannel%d` that goes with the process, gives it address, MTU and the route (one that is there already is left), binds
the port, writes subnet.env, and forwards. It checks no sender and, unlike flannel, looks for new leases by asking.
"""

from __future__ import annotations

import base64
import fcntl
import http.client
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from integration.yardstick.plain import forward, read_routes

PORT, HEADERS, DAY_S = 8285, 28, 86_400
ASK_AGAIN_S = 0.1
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCGIFADDR, _SIOCGIFMTU = 0x8915, 0x8921


class Etcd:
    """The few calls that are needed of etcd's JSON gateway."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self._netloc, self._prefix = urlsplit(endpoint).netloc, prefix

    def call(self, path: str, **body: object) -> dict[str, object]:
        connection = http.client.HTTPConnection(self._netloc, timeout=5)
        try:
            connection.request("POST", path, json.dumps(body))
            said: dict[str, object] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return said

    def values(self, key: str, end: str = "") -> dict[str, dict[str, str | None]]:
        """Keys below the prefix with their JSON values."""
        asked = {"key": _coded(self._prefix + key)} | (
            {"range_end": _coded(self._prefix + end)} if end else {}
        )
        found = self.call("/v3/kv/range", **asked).get("kvs", [])
        assert isinstance(found, list)
        return {_plain(kv["key"]).rsplit("/", 1)[1]: json.loads(_plain(kv["value"])) for kv in found}

    def put(self, key: str, value: object, *, absent: bool) -> bool:
        """Bind a key to a lease of a day; False if it was to be `absent` and somebody was faster."""
        name, lease = _coded(self._prefix + key), self.call("/v3/lease/grant", TTL=DAY_S)["ID"]
        unmade = {"key": name, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
        put = {"key": name, "value": _coded(json.dumps(value)), "lease": lease}
        said = self.call("/v3/kv/txn", compare=[unmade] if absent else [], success=[{"request_put": put}])
        return bool(said.get("succeeded"))


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(coded: str) -> str:
    return base64.b64decode(coded).decode()


def leases(etcd: Etcd) -> dict[str, str]:
    """Public IPs by subnet, `10.50.21.0/24`."""
    found = etcd.values("/subnets/", "/subnets0")
    return {key.replace("-", "/"): str(value["PublicIP"]) for key, value in found.items()}


def own_subnet(etcd: Etcd, network: ipaddress.IPv4Network, address: str) -> str:
    """The lease of this public IP, or the first subnet that is free."""
    while True:
        known = leases(etcd)
        mine = next((subnet for subnet, peer in known.items() if peer == address), None)
        free = (str(subnet) for subnet in network.subnets(new_prefix=24) if subnet[0] != network[0])
        subnet = mine or next(subnet for subnet in free if subnet not in known)
        record = {"PublicIP": address, "PublicIPv6": None}
        if etcd.put("/subnets/" + subnet.replace("/", "-"), record, absent=mine is None):
            return subnet


def open_tun() -> tuple[int, str]:
    """As flannel's OpenTun: the kernel numbers it, and it is not persistent."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    answer = fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"flannel%d", _IFF_TUN | _IFF_NO_PI))
    return tun, answer[:16].rstrip(b"\0").decode()


def configure(link: str, base: str, network: str, mtu: int) -> None:
    """As flannel's configureIface: a route that stands is an EEXIST that it ignores."""
    for line in (f"addr add {base}/32 dev {link}", f"link set {link} mtu {mtu} up"):
        subprocess.run(["ip", *line.split()], check=True)
    subprocess.run(["ip", "route", "add", network, "dev", link], check=False)


def nic(link: str) -> tuple[str, int]:
    """Address and MTU of the underlay link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        question = struct.pack("16s24x", link.encode())
        address = socket.inet_ntoa(fcntl.ioctl(sock, _SIOCGIFADDR, question)[20:24])
        return address, struct.unpack_from("i", fcntl.ioctl(sock, _SIOCGIFMTU, question), 16)[0]


def follow(etcd: Etcd, own: str, routes: list[tuple[int, int, str]]) -> None:
    """Keep the routes of the proxy those of the leases."""
    while True:
        routes[:] = read_routes([f"{net}={peer}" for net, peer in leases(etcd).items() if net != own])
        time.sleep(ASK_AGAIN_S)


def main() -> None:
    flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
    etcd = Etcd(flags["etcd-endpoints"].split(",")[0], flags["etcd-prefix"])
    address, underlay_mtu = nic(flags["iface"])
    network = str(etcd.values("/config")["config"]["Network"])
    subnet = own_subnet(etcd, ipaddress.IPv4Network(network), address)
    base, mtu = subnet.partition("/")[0], underlay_mtu - HEADERS
    tun, link = open_tun()
    configure(link, base, network, mtu)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, PORT))
        routes: list[tuple[int, int, str]] = []
        threading.Thread(target=follow, args=(etcd, subnet, routes), daemon=True).start()
        gateway = ipaddress.IPv4Address(base) + 1
        text = f"FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={gateway}/24\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ=false\n"
        draft = Path(flags["subnet-file"] + ".new")
        draft.write_text(text)
        draft.rename(flags["subnet-file"])
        forward(tun, sock, routes, socket.inet_aton(base))


if __name__ == "__main__":
    main()
