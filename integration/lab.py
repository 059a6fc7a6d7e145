"""The namespace lab: hosts, an etcd, containers, traffic and faults on one machine.

with Lab(hosts=3) as lab:
    lab.configure()
    lab.start_daemons()
    one, two, three = lab.attach_containers()
    assert one.ping(two).ok
"""

from integration.etcd.api import ETCD_PREFIX, Entry, EtcdApi
from integration.etcd.cluster import Etcd, EtcdMember, etcd_binary
from integration.etcd.peers import Peer, simulated_peers, write_peers
from integration.hosts.cables import Fault, Faults
from integration.hosts.container import Container, PingResult, unreached
from integration.hosts.daemon import HostDaemon, Program, ReadyBy, flanpyctl, flanpyd
from integration.hosts.host import Host, SubnetFile
from integration.hosts.lab import NETWORK, Lab
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until
from integration.traffic.pairs import Probe, ProbeReport, Stream, StreamReport, transfer

__all__ = [
    "ETCD_PREFIX", "NETWORK", "Container", "Entry", "Etcd", "EtcdApi", "EtcdMember", "Fault", "Faults", "Host",
    "HostDaemon", "Lab", "LabError", "Peer", "PingResult", "Probe", "ProbeReport", "Program", "ReadyBy", "Stream",
    "StreamReport", "SubnetFile", "etcd_binary", "flanpyctl", "flanpyd", "simulated_peers", "transfer", "unreached",
    "wait_until", "write_peers",
]  # fmt: skip
