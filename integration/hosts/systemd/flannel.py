"""Owns flannel's part on a host: what it leaves and keeps, as flannel itself is not here.

A unit, a lease record, subnet.env, a VXLAN made by hand, and Docker told by hand as operators did it when flannel came.
"""

from __future__ import annotations

import json

from integration.etcd.api import ETCD_PREFIX, EtcdApi
from integration.hosts.systemd.host import SystemdHost
from integration.net.claim import PROJECT_ROOT

NETWORK = '{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}'
DAY_S = 86_400
_UNIT = """\
[Unit]
Before=docker.service

[Service]
EnvironmentFile=-/etc/sysconfig/flanneld
ExecStart=/bin/sh /opt/flannel/flanneld --iface=eth0
ExecStartPost=/bin/sh -c 'until [ -s /run/flannel/subnet.env ]; do sleep 0.1; done'
RuntimeDirectory=flannel
RuntimeDirectoryPreserve=yes

[Install]
WantedBy=multi-user.target
"""


def write_lease(api: EtcdApi, number: int, host: SystemdHost) -> None:
    """The lease that flannel on host `number` has: 10.50.NUMBER.0/24, for a day."""
    value = {
        "PublicIP": host.address,
        "PublicIPv6": None,
        "BackendType": "vxlan",
        "BackendData": {"VNI": 1, "VtepMAC": f"0a:00:00:00:00:{number:02x}"},
    }
    api.put(f"{ETCD_PREFIX}/subnets/10.50.{number}.0-24", json.dumps(value), lease=api.grant(DAY_S))


def run_flannel(number: int, host: SystemdHost, *, endpoints: str = "") -> None:
    """Start the unit, and Docker on its subnet; the host's overlay stands then."""
    host.write("/opt/flannel/flanneld", (PROJECT_ROOT / "integration/handmade_vxlan.sh").read_text())
    host.write("/etc/systemd/system/flanneld.service", _UNIT)
    host.write("/etc/sysconfig/flanneld", f"FLANNEL_ETCD_ENDPOINTS={endpoints}\n" if endpoints else "")
    host.write(
        "/etc/docker/daemon.json", json.dumps({"bip": f"10.50.{number}.1/24", "mtu": 1450, "ip-masq": False})
    )
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "--now", "flanneld.service")
    host.run("systemctl", "restart", "docker.service")
    host.run("iptables", "-P", "FORWARD", "ACCEPT")
