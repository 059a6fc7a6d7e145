"""Documents to show: one recorded from a lab of three real daemons, and worlds made from it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.event import Event, EventKind, Spell
from flanpy.model.problem import problem_of
from flanpy.model.reach import Trouble
from flanpy.page.day import STEP, Day
from flanpy.status import report
from flanpy.status.judge.conditions import Phase
from flanpy.status.judge.summary import of_cluster, of_host

Document = dict[str, Any]

_RECORDED = Path(__file__).with_name("sample.json")


def healthy() -> Document:
    """Three hosts, all well; what happened is of the last minutes, and every host's row is known."""
    document: Document = json.loads(_RECORDED.read_text())
    moved = time.time() - max(event["at"] for event in document["events"]) - 120
    document["events"] = _told(_story(time.time()))
    for condition in document["status"]["conditions"]:
        condition["since"] += moved
    document["status"]["own"]["expires_at"] += round(moved)
    document["mesh"] = mesh(document["mesh"]["nodes"])
    document["status"]["networks"] = [
        network("shop", 10_001, free=242, containers=11),
        network("lab", 10_002),
    ]
    return judged(document)


def encrypted(document: Document) -> Document:
    """`document` with sessions of WireGuard: one lives, one died and sends from elsewhere than its lease says."""
    states = (("up", "", 20.0), ("idle", "198.51.100.7:4000", 400.0))
    for peer, (state, elsewhere, ago) in zip(document["peers"], states, strict=False):
        wanted = f"{peer['public_ip']}:51820"
        peer["wireguard"] = [
            {
                "link": "flannel-wg", "key": f"key+{peer['node_id']}", "state": state, "endpoint": elsewhere or wanted,
                "endpoint_wanted": wanted, "handshake_at": time.time() - ago, "received": 5000, "sent": 7000,
            }
        ]  # fmt: skip
    return document


def network(name: str, vni: int, *, free: int = 253, containers: int = 0, in_docker: bool = True) -> Document:
    """A named network of three hosts."""
    second = 96 + vni - 10_001
    return {
        "name": name, "subnet": f"10.{second}.0.0/16", "ipv6_subnet": f"fd00:{second}::/64", "vni": vni, "mtu": 1450,
        "slice": f"10.{second}.3.0/24", "bridge": f"fb-{vni}", "port": f"fv-{vni}", "in_docker": in_docker,
        "members": ["10.99.1.2", "10.99.1.3"], "containers": containers, "free": free, "names": 3 * containers,
    }  # fmt: skip


def _story(now: float) -> list[Event]:
    """A start, peers that joined, a flap, and a repair, as a day has them."""
    start, flap = now - 33_000, now - 9_400
    return [
        Event(1, start + 0.9, EventKind.STARTED, "flanpyd 0.1.0", first_at=start, spell=Spell(start, start + 0.9, 0.9)),
        Event(2, start + 1.0, EventKind.PEER_JOINED, "h2 10.50.58.0/24", "10.99.1.2", first_at=start + 1.0),
        Event(3, start + 1.4, EventKind.PEER_JOINED, "h3 10.50.6.0/24", "10.99.1.3", first_at=start + 1.4),
        Event(4, flap, EventKind.PEER_UNREACHABLE, "h3", "Loss", times=2, first_at=flap - 900, reasons=("Loss",),
              spell=Spell(flap - 60, flap, 131.0)),
        Event(5, now - 4_000, EventKind.REPAIRED, "route", "monitor: ip route add 10.50.58.0/24", first_at=now - 4_000),
    ]  # fmt: skip


def _told(happened: list[Event]) -> list[Document]:
    told: list[Document] = json.loads(json.dumps(report.plain(report.events(happened))["events"]))
    return told


def judged(document: Document) -> Document:
    """`document` with the two verdicts that the daemon computes from it."""
    status = document["status"]
    conditions = [
        Condition(
            ConditionType(row["type"]),
            Status(row["status"]),
            row["reason"],
            row["message"],
            healthy=row["healthy"],
            cure=row["cure"],
            depends_on=tuple(map(ConditionType, row["depends_on"])),
        )
        for row in status["conditions"]
    ]
    status["verdict"] = of_host(
        status["node_id"], Phase(status["phase"]), conditions, ready=status["ready"]
    ).as_json()
    nodes = [{"node_id": name, "host": name, "subnet": ""} for name in document["mesh"]["nodes"]]
    document["cluster"] = of_cluster({"nodes": nodes, "rows": document["mesh"]["rows"]}).as_json()
    return document


def with_day(document: Document) -> Document:
    """`document` with a day of measurements up to now: well, a lossy hour, and what is broken now for some steps."""
    day, now = Day(), time.time()
    rows = document["mesh"]["rows"]
    well = [{**row, "reach": "reachable", "loss": 0.0, "rtt_ms": 0.2} for row in rows]
    pair = {row["from"] for row in rows[:1]} | {row["to"] for row in rows[:1]}
    for ago in range(80, -1, -1):
        lossy = [
            {**row, "reach": "lossy", "loss": 0.15, "rtt_ms": 0.9}
            if pair == {row["from"], row["to"]}
            else row
            for row in well
        ]
        waves = [{**row, "rtt_ms": 0.2 + 0.05 * (ago % 7)} if row["rtt_ms"] else row for row in well]
        day.note(rows if ago < 2 else lossy if 40 <= ago < 44 else waves, now - ago * STEP)
    document["day"] = day.strips()
    document["pairs"] = {
        f"{one} {other}": day.pair(one, other)
        for one, other in {(row["from"], row["to"]) for row in rows[:200]}
    }
    names = sorted(document["mesh"]["nodes"])
    document["mesh"]["told"] = {
        names[0]: {"page": "", "containers": ["shop-web", "shop-cache"]},
        names[-1]: {"page": "https://10.99.1.3:8474/", "containers": ["shop-db"]},
    }
    return document


def mesh(
    nodes: Iterable[str], broken: Iterable[tuple[str, str, str, str]] = (), rtt: float = 0.2
) -> Document:
    """All reach all, but for `broken`: (from, to, reach, trouble). A reach of unknown leaves the row out."""
    names = list(nodes)
    worse = {(one, other): (reach, trouble) for one, other, reach, trouble in broken}
    rows = []
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            reach, trouble = worse.get((one, other), ("reachable", ""))
            if one == other or reach == "unknown":
                continue
            well = reach == "reachable"
            rows.append(
                {
                    "from": one, "to": other, "reach": reach, "trouble": trouble, "at": time.time() - 5,
                    "rtt_ms": round(rtt + 0.013 * ((i * 7 + j * 3) % 11), 3) if reach != "unreachable" else None,
                    "loss": 0.0 if well else 0.2 if reach == "lossy" else 1.0,
                }
            )  # fmt: skip
    return {
        "nodes": names, "rows": rows, "count": len(names), "measured": sum(r["reach"] != "unknown" for r in rows)
    }  # fmt: skip


def cut(document: Document, one: str, other: str, trouble: str = "PortBlocked") -> Document:
    """`document` after the link between two hosts was cut; its own host must be one of them to be told of it."""
    new = copy.deepcopy(document)
    both = [(one, other, "unreachable", trouble), (other, one, "unreachable", trouble)]
    new["mesh"] = mesh(document["mesh"]["nodes"], both)
    own = new["status"]["node_id"]
    for peer in new["peers"]:
        if {own, peer["node_id"]} == {one, other}:
            where = f"{own} and {peer['node_id']}"
            evidence = (
                f"{peer['public_ip']} answers over the underlay, nothing passes over the overlay: "
                f"UDP port 8472 is blocked between {where}"
            )
            cure = f"open UDP port 8472 in both directions between {where} ({peer['public_ip']})"
            peer.update(
                reach="unreachable", trouble=trouble, rtt_ms=None, loss=1.0, evidence=evidence, cure=cure
            )
            _raise(new, peer)
    return judged(new)


def _raise(document: Document, peer: Document) -> None:
    """In the words of the daemon, as a lab with that fault recorded them."""
    status = document["status"]
    status["phase"] = "DEGRADED"
    own, conditions, why = status["node_id"], status["conditions"], f"{peer['trouble']}, {peer['evidence']}"
    of = next(one for one in conditions if one["type"] == "PeersReachable")
    conditions.remove(of)
    line = f"{own} -> {peer['node_id']} ({peer['public_ip']}): {why}"
    message = (
        f"1 of {len(document['peers'])} peers unreachable: {own} -> {peer['node_id']}: {peer['trouble']}"
    )
    bad = {
        "status": "False",
        "healthy": False,
        "reason": "Unreachable",
        "message": message,
        "evidence": [line],
    }
    known = problem_of(ConditionType.PEERS_REACHABLE, "Unreachable", _troubles(peer))
    problem = {"id": known.id, "meaning": known.meaning, "page": known.page}
    conditions.insert(0, {**of, **bad, "cure": peer["cure"], "since": time.time() - 95, "problem": problem})
    last, since = document["events"][-1]["number"], time.time() - 95
    kinds = (
        (EventKind.PEER_UNREACHABLE, peer["node_id"], why),
        (EventKind.CONDITION_RAISED, "PeersReachable", message),
    )
    document["events"] += _told(
        [
            Event(number, since, kind, what, reason, first_at=since, spell=Spell(since))
            for number, (kind, what, reason) in enumerate(kinds, last + 1)
        ]
    )


def _troubles(peer: Document) -> list[Trouble]:
    return [one for one in Trouble if one.value == peer["trouble"]]


def crowd(hosts: int) -> Document:
    """Many hosts, all well."""
    document = healthy()
    own = document["status"]["node_id"]
    names = [own, *(f"node-{number:03}" for number in range(2, hosts + 1))]
    peer, lease = document["peers"][0], document["subnets"]["subnets"][0]
    document["peers"], document["subnets"]["subnets"] = [], []
    for number, name in enumerate(names, 1):
        place = {"node_id": name, "subnet": f"10.50.{number}.0/24", "public_ip": f"192.0.2.{number}"}
        state = {"state": "own" if name == own else "programmed", "reason": ""}
        document["subnets"]["subnets"].append({**lease, **place, **state})
        if name != own:
            document["peers"].append({**peer, **place, **state, "rtt_ms": 0.2 + number / 100})
    document["status"]["peers"].update(wanted=hosts - 1, programmed=hosts - 1)
    document["mesh"] = mesh(names)
    return judged(document)
