"""The namespace lab: hosts, an etcd, containers, traffic and faults on one machine.

with Lab(hosts=3) as lab:
    lab.configure()
    lab.start_daemons()
    one, two, three = lab.attach_containers()
    assert one.ping(two).ok
"""

from integration.lab.container import Container, PingResult, unreached
from integration.lab.daemon import ETCD_PREFIX, HostDaemon, Program, ReadyBy, flanpyctl, flanpyd
from integration.lab.etcd import Etcd, EtcdMember, etcd_binary
from integration.lab.etcd_api import Entry, EtcdApi
from integration.lab.faults import Fault, Faults
from integration.lab.host import Host, SubnetFile
from integration.lab.lab import NETWORK, Lab
from integration.lab.namespaces import LabError
from integration.lab.peers import Peer, simulated_peers, write_peers
from integration.lab.traffic import Probe, ProbeReport, Stream, StreamReport, transfer
from integration.lab.waiting import wait_until

__all__ = [
    "ETCD_PREFIX", "NETWORK", "Container", "Entry", "Etcd", "EtcdApi", "EtcdMember", "Fault", "Faults", "Host",
    "HostDaemon", "Lab", "LabError", "Peer", "PingResult", "Probe", "ProbeReport", "Program", "ReadyBy", "Stream",
    "StreamReport", "SubnetFile", "etcd_binary", "flanpyctl", "flanpyd", "simulated_peers", "transfer", "unreached",
    "wait_until", "write_peers",
]  # fmt: skip
