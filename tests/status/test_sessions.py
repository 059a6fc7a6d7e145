"""WireGuard's sessions in `/v1/peers` and in metrics: joined to leases by the key, and an idle pair is no fault."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.api.leases import PeerDocument
from flanpy.daemon.wireguard_side import session_counts
from flanpy.model.lease import WireguardData
from flanpy.model.wireguard import SeenPeer, SessionState, WgPeer, session_state, written
from flanpy.status import lease_rows
from tests.states import as_backend, crowd, view
from tests.status.passes import NOW, passed

KEY = written(bytes([9] * 32))
WANTED = WgPeer("flannel-wg", KEY, IPv4Address("192.0.2.11"), 51820, (IPv4Network("10.50.11.0/24"),))
SEEN = SeenPeer(WANTED, has_endpoint=True, handshake=int(NOW) - 20, received=5000, sent=7000)


def _rows(seen: SeenPeer) -> list[PeerDocument]:
    world = as_backend("wireguard", crowd(1))
    said = WireguardData(KEY, 51820)
    leases = [
        replace(one, record=replace(one.record, backend_data=said)) for one in world.view.leases.values()
    ]
    outcome = passed(replace(world, view=view(leases)), desired={WANTED.key: WANTED})
    return list(lease_rows.peers(outcome, None, [seen], now=NOW).peers)


def test_row_of_a_peer_has_its_session_by_the_key_of_its_lease() -> None:
    (row,) = _rows(SEEN)
    (session,) = row.wireguard
    assert (session.key, session.state, session.endpoint, session.handshake_at) == (
        KEY[:8],
        "up",
        "192.0.2.11:51820",
        NOW - 20,
    )
    assert (session.endpoint_wanted, session.received, session.sent) == ("192.0.2.11:51820", 5000, 7000)


def test_endpoint_that_roamed_is_shown_beside_the_wanted_one_and_a_strange_key_nowhere() -> None:
    (row,) = _rows(replace(SEEN, peer=replace(WANTED, endpoint=IPv4Address("198.51.100.7"), port=4000)))
    assert (row.wireguard[0].endpoint, row.wireguard[0].endpoint_wanted) == (
        "198.51.100.7:4000",
        "192.0.2.11:51820",
    )
    (row,) = _rows(replace(SEEN, peer=replace(WANTED, public_key=written(bytes([8] * 32)))))
    assert row.wireguard == ()
    (row,) = _rows(replace(SEEN, has_endpoint=False, handshake=0))
    assert (row.wireguard[0].endpoint, row.wireguard[0].handshake_at) == (None, None)


@pytest.mark.parametrize(
    ("handshake", "state"),
    [(0, SessionState.NONE), (NOW - 180, SessionState.UP), (NOW - 181, SessionState.IDLE)],
)
def test_session_lives_for_three_minutes(handshake: float, state: SessionState) -> None:
    assert session_state(replace(SEEN, handshake=int(handshake)), int(NOW)) is state


def test_counts_are_of_all_peers_and_absent_without_a_device() -> None:
    two = [SEEN, replace(SEEN, handshake=0)]
    samples = {
        (one.name, *one.labels.values()): one.value
        for family in session_counts(two, NOW)
        for one in family.samples
    }
    assert samples == {
        ("flanpy_wireguard_peers", "up"): 1,
        ("flanpy_wireguard_peers", "idle"): 0,
        ("flanpy_wireguard_peers", "none"): 1,
        ("flanpy_wireguard_bytes_total", "rx"): 10_000,
        ("flanpy_wireguard_bytes_total", "tx"): 14_000,
    }
    assert list(session_counts([], NOW)) == []
