"""A stand-in for the daemon's control socket: real HTTP on a real unix socket, canned answers.

For tests only. `test_real_daemon.py` compares the shape of every answer with a real daemon's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

DEADLINE_S = 60.0


class StandIn:
    """Answers by resource: a value, or a function called for each request. `refuse` answers with an HTTP error."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        self.asked.append(f"{request.method} {resource}")
        if resource in self.refusals:
            status, text = self.refusals[resource]
            return web.Response(status=status, text=text, content_type="application/json")
        if resource not in self.answers:
            return web.json_response({"error": f"no resource {resource!r}"}, status=404)
        found = self.answers[resource]
        return web.json_response(found() if isinstance(found, Callable) else found)  # type: ignore[arg-type]


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(action)


@contextmanager
def standing_in(run_dir: Path, another: StandIn | None = None) -> Iterator[StandIn]:
    """Serve on `<run_dir>/flanpyd.sock` from a thread until left."""
    stand_in = another or StandIn()
    started = threading.Event()
    stop: list[Callable[[], None]] = []

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/v1/{resource}", stand_in.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.UnixSite(runner, str(run_dir / "flanpyd.sock")).start()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: _call(loop, ended.set))
        started.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="stand-in", daemon=True)
    thread.start()
    assert started.wait(DEADLINE_S), "the stand-in did not start"
    try:
        yield stand_in
    finally:
        stop[0]()
        thread.join(DEADLINE_S)


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "node_id": "node-1",
    "host": "node-1",
    "pid": 4242,
    "started_at": 1_800_000_000.0,
    "verdict": {"state": "well", "text": "node-1 works", "cure": "", "cause": "", "follows": []},
    "phase": "READY",
    "ready": True,
    "conditions": [
        {
            "type": "DatastoreReachable",
            "status": "True",
            "reason": "Answered",
            "message": "http://192.0.2.1:2379 answers",
            "cure": "",
            "since": 1_800_000_001.0,
            "healthy": True,
            "evidence": [],
            "depends_on": ["UnderlayReady"],
            "problem": None,
        },
        {
            "type": "MassDeleteHeld",
            "status": "False",
            "reason": "NothingHeld",
            "message": "",
            "cure": "",
            "since": 1_800_000_001.0,
            "healthy": True,
            "evidence": [],
            "depends_on": [],
            "problem": None,
        },
    ],
    "network": {
        "network": "10.50.0.0/16",
        "network6": None,
        "subnet_len": 24,
        "backend_type": "vxlan",
        "text": '{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan"}}',
    },
    "own": {
        "key": "10.50.1.0-24",
        "subnet": "10.50.1.0/24",
        "subnet6": None,
        "public_ip": "192.0.2.11",
        "public_ip6": None,
        "source": "etcd",
        "expires_in": 86000,
        "reservation": False,
        "lease_id": 7587862094532131332,
    },
    "underlay": {
        "link": "eth1",
        "address": "192.0.2.11",
        "address6": None,
        "mtu": 1500,
        "reason": "default route",
    },
    "backend": {
        "type": "vxlan",
        "links": [
            {
                "name": "flannel.1",
                "mac": "02:00:5e:10:00:01",
                "vni": 1,
                "port": 8472,
                "mtu": 1450,
                "local": "192.0.2.11",
                "kind": "vxlan",
            }
        ],
        "mtu": 1450,
        "ways": {"tunnel": 3},
        "moving_from": None,
        "cloud": None,
        "data_plane": None,
    },
    "peers": {"wanted": 3, "programmed": 2, "pending": 0, "failed": 1, "rejected": 0},
    "store": {
        "endpoint": "http://192.0.2.1:2379",
        "revision": 77,
        "stale": False,
        "outage_since": None,
        "listed": False,
        "version": "3.5.30",
    },
    "docker": None,
    "tuning": {
        "reverse_path": {"strict": [], "drops": 0, "drops_lately": 0},
        "neighbours": [
            {"family": "ipv4", "limit": 1024, "needed": 3, "refused": 0, "refused_lately": 0},
            {"family": "ipv6", "limit": 1024, "needed": 0, "refused": 0, "refused_lately": 0},
        ],
        "bridge_filter": None,
    },
    "networks": [],
    "pools": [{"total": 255, "free": 251}],
    "passes": {
        "count": 12,
        "last_took_ms": 1.5,
        "last_ops": 0,
        "resyncs": {"start": 1, "timer": 3},
        "repairs": {"route": 2},
    },
}

SUBNETS: dict[str, Any] = {
    "revision": 77,
    "stale": False,
    "subnets": [
        {
            "key": "10.50.1.0-24",
            "subnet": "10.50.1.0/24",
            "subnet6": None,
            "node_id": "node-1",
            "host": "node-1",
            "public_ip": "192.0.2.11",
            "public_ip6": None,
            "backend_type": "vxlan",
            "vtep_mac": "02:00:5e:10:00:01",
            "vtep_mac6": None,
            "vni": 1,
            "lease_id": 7587862094532131332,
            "reservation": False,
            "own": True,
            "state": "own",
            "reason": "",
            "way": "",
            "way_reason": "",
        },
        {
            "key": "10.50.2.0-24&fd50:1:0:2::-64",
            "subnet": "10.50.2.0/24",
            "subnet6": "fd50:1:0:2::/64",
            "node_id": "",
            "host": "",
            "public_ip": "192.0.2.12",
            "public_ip6": "2001:db8::12",
            "backend_type": "vxlan",
            "vtep_mac": "02:00:5e:10:00:02",
            "vtep_mac6": "02:00:5e:10:00:03",
            "vni": 1,
            "lease_id": 0,
            "reservation": True,
            "own": False,
            "state": "failed",
            "reason": "no route to host",
            "way": "tunnel",
            "way_reason": "192.0.2.12 is behind gateway 192.0.2.1 on eth0",
        },
    ],
    "invalid": [{"key": "junk", "reason": "key 'junk' is no subnet"}],
}

VERDICT: dict[str, Any] = {
    "host": STATUS["verdict"],
    "cluster": {
        "state": "well",
        "text": "4 hosts, 12 of 12 directions work",
        "cure": "",
        "cause": "",
        "follows": [],
    },
}

DIFF: dict[str, Any] = {
    "trusted": True,
    "lines": ["ip route add 10.50.2.0/24 via 10.50.2.0 dev flannel.1 onlink proto 70"],
    "kinds": ["route"],
    "held": "",
    "held_lines": [],
    "conflicts": [],
}

CONFIG: list[dict[str, str]] = [
    {"name": "etcd-prefix", "value": "/coreos.com/network", "origin": "default"},
    {"name": "run-dir", "value": "/run/flanpy", "origin": "env FLANPYD_RUN_DIR"},
]
