"""A running network that moves to a backend of the guest's kernel and back; and the identity of a device."""

from __future__ import annotations

from functools import partial

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Probe
from tests.lab.backend_side import moving_from
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually


def assert_moves_from_vxlan_and_back(build_lab: BuildLab, backend: str, *, mtu: int, link: str) -> None:
    """Move two hosts to `backend`, whose containers have `mtu`, and back; `link` is gone at the end.

    One host hears of each change seconds after the other, and both send all the time: nothing is lost in either
    direction. The pace is gentle, as the guest encrypts in plain C.
    """
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab)
    one, two = lab.containers
    early, late = lab.hosts
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=30)
    for name, room in ((backend, mtu), ("vxlan", 1450)):
        with Probe(one, two) as there, Probe(two, one) as back:
            late.daemon.freeze()
            lab.configure({"Network": NETWORK, "Backend": {"Type": name}})
            eventually(partial(_says, lab, early, name), f"the first says {name}", deadline=30)
            late.daemon.thaw()
            eventually(partial(_arrived, lab, room), name, deadline=60)
            assert_settled(lab, deadline=60)
            found = there.stop(), back.stop()
        assert [report.lost for report in found] == [0, 0], (name, found)
    assert not any(host.has_link(link) for host in lab.hosts)


def _says(lab: Lab, host: Host, backend: str) -> bool:
    leases = (entry.value for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/"))
    return any(f'"{host.name}"' in lease and f'"BackendType":"{backend}"' in lease for lease in leases)


def _arrived(lab: Lab, mtu: int) -> bool:
    return all(host.subnet_file.mtu == mtu and moving_from(host) is None for host in lab.hosts)


def index_of(host: Host, link: str) -> int:
    """Return the index of a device: another one is another device."""
    index: int = host.ip_json("link", "show", "dev", link)[0]["ifindex"]
    return index
