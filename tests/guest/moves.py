"""A running network that moves to a backend of the guest's kernel and back; and the identity of a device."""

from __future__ import annotations

from functools import partial

from integration.lab import NETWORK, Host, Lab, Probe, Stream
from tests.lab.backend_side import moving_from
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually


def assert_moves_from_vxlan_and_back(build_lab: BuildLab, backend: str, *, mtu: int, link: str) -> None:
    """Move two hosts to `backend`, whose containers have `mtu`, and back, under a stream; `link` is gone at the end."""
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    lab.attach_containers()
    assert_settled(lab)
    one, two = lab.containers
    with Stream(one, two) as stream, Probe(one, two) as there, Probe(two, one) as back:
        stream.wait_flowing()
        for name, room in ((backend, mtu), ("vxlan", 1450)):
            lab.configure({"Network": NETWORK, "Backend": {"Type": name}})
            eventually(partial(_arrived, lab, room), name, deadline=60)
            assert_settled(lab, deadline=60)
            stream.wait_flowing()
        found, *probed = stream.stop(), there.stop(), back.stop()
    assert found.whole, found
    assert not [one for one in probed if one.lost], probed
    assert not any(host.has_link(link) for host in lab.hosts)


def _arrived(lab: Lab, mtu: int) -> bool:
    return all(host.subnet_file.mtu == mtu and moving_from(host) is None for host in lab.hosts)


def index_of(host: Host, link: str) -> int:
    """Return the index of a device: another one is another device."""
    index: int = host.ip_json("link", "show", "dev", link)[0]["ifindex"]
    return index
