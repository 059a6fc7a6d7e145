"""The page's document: steady while nothing happens, and cut where it would grow with the square of the hosts."""

from __future__ import annotations

from typing import Any

from flanpy.page.documents import EVENTS, MESH_NODES, own_row, page_document
from tests.page import samples


def _made(**changes: Any) -> dict[str, Any]:
    sample = samples.healthy()
    parts = {
        "status": sample["status"],
        "own_expires_at": None,
        "peers": {"peers": sample["peers"]},
        "subnets": sample["subnets"],
        "events": {"events": sample["events"]},
        "mesh": None,
        "cluster": {},
    }
    return page_document(**{**parts, **changes})


def test_document_is_the_same_a_moment_later() -> None:
    status = samples.healthy()["status"]
    docs = [
        _made(status={**status, "own": {**status["own"], "expires_in": left}}, own_expires_at=at)
        for left, at in ((100.0, 5000.2), (99.0, 5000.1))
    ]
    assert docs[0]["status"]["own"]["expires_at"] == 5000
    assert docs[0]["status"] == docs[1]["status"]


def test_mesh_is_this_hosts_row_while_no_other_is_known() -> None:
    mesh = _made()["mesh"]
    assert {(row["from"], row["to"]) for row in mesh["rows"]} == {("h1", "h2"), ("h1", "h3")}
    assert (mesh["count"], mesh["measured"]) == (3, 2)


def test_flannels_hosts_go_by_their_subnet() -> None:
    peer = {**samples.healthy()["peers"][0], "node_id": "", "subnet": "10.50.9.0/24"}
    assert own_row("h1", {"peers": [peer]})["nodes"] == ["h1", "10.50.9.0/24"]


def test_large_mesh_keeps_what_is_in_trouble_and_counts_the_rest() -> None:
    names = [f"n{number}" for number in range(MESH_NODES + 1)]
    mesh = _made(mesh=samples.mesh(names, [("n3", "n7", "lossy", "Loss")]))["mesh"]
    assert [(row["from"], row["to"]) for row in mesh["rows"]] == [("n3", "n7")]
    assert mesh["nodes"] == ["n3", "n7"]
    assert (mesh["count"], mesh["measured"]) == (len(names), len(names) * (len(names) - 1))


def test_only_the_newest_events_are_sent() -> None:
    event = samples.healthy()["events"][0]
    events = [{**event, "number": number} for number in range(EVENTS + 50)]
    assert _made(events={"events": events})["events"] == events[50:]


def test_bytes_of_sessions_change_no_document() -> None:
    peers = samples.encrypted(samples.healthy())["peers"]
    counted = [
        {**peer, "wireguard": [{**one, "received": 9, "sent": 9} for one in peer["wireguard"]]}
        for peer in peers
    ]
    documents = [_made(peers={"peers": rows})["peers"] for rows in (peers, counted)]
    assert documents[0] == documents[1]
    assert documents[0][0]["wireguard"][0]["key"] == f"key+{peers[0]['node_id']}"
