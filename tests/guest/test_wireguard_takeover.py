"""From flannel's wireguard and back, the key kept: a host that flanneld was killed on, and one that it left clean."""

from __future__ import annotations

import json
import shutil
from ipaddress import ip_network

import pytest

from flanpy.host.wireguard_key import KeyPair
from flanpy.model.wireguard import written
from flanpy.model.x25519 import clamped
from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream
from integration.net.namespaces import in_namespace
from integration.truth import wireguard
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.guest]

DAY_S = 86_400
PAIR = KeyPair(clamped(bytes([7] * 32)))  # as the kernel would give it back


def _flannel(lab: Lab, host: Host, number: int, peer: Host) -> None:
    """Make the host flannel's, as an older version (no Port in the record) leaves it: one route for the network."""
    subnet = f"10.50.{number}.0"
    host.ip(
        "link add flannel-wg mtu 1420 type wireguard",
        f"addr add {subnet}/32 dev flannel-wg",
        "link set flannel-wg up",
        f"route add {NETWORK} dev flannel-wg scope link",
    )
    _set(host, peer)
    value = {
        "PublicIP": host.address,
        "PublicIPv6": None,
        "BackendType": "wireguard",
        "BackendData": {"PublicKey": PAIR.public},
    }
    lease = lab.etcd.api.grant(DAY_S)
    lab.etcd.api.put(f"{ETCD_PREFIX}/subnets/{subnet}-24", json.dumps(value), lease=lease)
    host.daemon.subnet_path.write_text(
        f"FLANNEL_NETWORK={NETWORK}\nFLANNEL_SUBNET=10.50.{number}.1/24\nFLANNEL_MTU=1420\nFLANNEL_IPMASQ=false\n"
    )


def _set(host: Host, peer: Host) -> None:
    """Give flannel's device its key, and the peer."""
    (part, *_) = wireguard.dump(peer.namespace, "flannel-wg")
    other = {
        "public_key": part["WGDEVICE_A_PUBLIC_KEY"].decode(),
        "endpoint_addr": peer.address,
        "endpoint_port": 51820,
        "allowed_ips": [str(peer.subnet_file.subnet.network)],
    }

    def work() -> None:
        from pyroute2 import WireGuard  # noqa: PLC0415, inside the namespace

        with WireGuard() as kernel:
            kernel.set("flannel-wg", private_key=written(PAIR.private), listen_port=51820)
            kernel.set("flannel-wg", peer=other)

    in_namespace(host.namespace, work)


def _cluster(build_lab: BuildLab) -> tuple[Lab, Host, Host]:
    """A flannel host and one of flanpy, whose containers talk in both directions."""
    lab = build_lab(2)
    lab.configure({"Network": NETWORK, "Backend": {"Type": "wireguard"}})
    flannel, ours = lab.hosts
    ours.daemon.up()
    _flannel(lab, flannel, 77, ours)
    lab.attach_containers()
    one, two = lab.containers
    eventually(lambda: one.ping(two).ok and two.ping(one).ok, "both directions", deadline=30)
    assert one.ping(two, size=1420 - 28).ok
    return lab, flannel, ours


def _key(host: Host) -> str:
    (part, *_) = wireguard.dump(host.namespace, "flannel-wg")
    return str(part["WGDEVICE_A_PUBLIC_KEY"].decode())


def test_flannel_and_flanpy_talk_and_a_killed_flannel_is_taken_over_in_place_with_its_key(
    build_lab: BuildLab,
) -> None:
    lab, host, _ = _cluster(build_lab)
    one, two = lab.containers
    before = host.ip_json("link", "show", "dev", "flannel-wg")[0]["ifindex"]
    with Stream(one, two) as stream:
        stream.wait_flowing()
        host.daemon.up()
        assert_settled(lab, deadline=30)
        assert stream.stop().whole
    assert host.ip_json("link", "show", "dev", "flannel-wg")[0]["ifindex"] == before
    assert _key(host) == PAIR.public
    assert (host.daemon.state_dir / "wgkey").read_text().strip() == written(PAIR.private)
    assert str(host.subnet_file.subnet.network) == "10.50.77.0/24"
    assert not any(ip_network(NETWORK) == ip_network(line.split()[1]) for line in _routes(lab, host))


def test_flannel_that_left_clean_is_followed_with_a_copy_of_its_key(build_lab: BuildLab) -> None:
    lab, host, ours = _cluster(build_lab)
    one, two = lab.containers
    host.ip("link del flannel-wg")  # as flanneld does at SIGTERM
    kept = host.daemon.state_dir / "of-flannel"
    host.daemon.state_dir.mkdir(parents=True, exist_ok=True)
    kept.write_text(written(PAIR.private))
    kept.chmod(0o400)
    before = wireguard.peers(wireguard.dump(ours.namespace, "flannel-wg"))
    host.run("install", "-m", "0600", str(kept), str(host.daemon.state_dir / "wgkey"))
    host.daemon.up()
    assert_settled(lab, deadline=30)
    assert _key(host) == PAIR.public
    assert set(wireguard.peers(wireguard.dump(ours.namespace, "flannel-wg"))) == set(
        before
    )  # nothing to learn
    eventually(lambda: one.ping(two).ok, "they reach each other", deadline=30)

    host.daemon.stop()  # and back: flanneld makes the device again, with the key that it is given
    shutil.copy(host.daemon.state_dir / "wgkey", kept)
    host.ip("link del flannel-wg")
    host.ip(
        "link add flannel-wg mtu 1420 type wireguard",
        "addr add 10.50.77.0/32 dev flannel-wg",
        "link set flannel-wg up",
        f"route add {NETWORK} dev flannel-wg scope link",
    )
    _set(host, ours)
    eventually(lambda: one.ping(two).ok and two.ping(one).ok, "flannel's again", deadline=30)


def _routes(lab: Lab, host: Host) -> list[str]:
    return [line for line in standing(lab, host) if line.startswith("route ")]
