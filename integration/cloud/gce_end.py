"""Compute Engine for tests: the few calls of it that a host makes, held to Google's own discovery document.

A write is an operation that takes a while. Who may call what is judged by the role of the how-to. The metadata service
tells a host by the address it calls from, or where all call from loopback by a path that it puts first.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from integration.cloud.discovery import Discovery
from integration.cloud.faults import Trouble

PROJECT, ZONE, NETWORK = "lab-project", "lab-zone", "lab-network"
TOKEN = "ya29.lab-token-that-no-log-may-show"
OPERATION_S = 0.05
PAGE = 2
"""Routes on a page of a listing, so few that clients have to turn pages."""
Answer = tuple[int, dict[str, Any]]
_HOW_TO = Path(__file__).parents[2] / "docs" / "howto" / "gce-routes.md"
_NEEDED = {
    "instances.get": ("compute.instances.get",),
    "routes.list": ("compute.routes.list",),
    "routes.insert": ("compute.routes.create", "compute.networks.updatePolicy", "compute.instances.use"),
    "routes.delete": ("compute.routes.delete", "compute.networks.updatePolicy"),
    "globalOperations.get": ("compute.globalOperations.get",),
}
"""Permissions by method, as the API's reference names them for routes that lead to an instance."""


@cache
def role() -> frozenset[str]:
    """The permissions of the custom role, as an operator copies it from the how-to."""
    found = re.search(r"```yaml\n(.*?)```", _HOW_TO.read_text(), re.DOTALL)
    assert found is not None
    return frozenset(re.findall(r"- (compute\S+)", found[1]))


class GceEnd:
    """The state of one project: hosts by name, routes by name, operations. `where` is the server's address and port."""

    def __init__(self, where: tuple[str, int]) -> None:
        self.discovery = Discovery()
        self.trouble = Trouble()
        self.hosts: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, tuple[float, dict[str, Any]]] = {}
        self.violations: list[str] = []
        self.page = PAGE
        self._where = f"{where[0]}:{where[1]}"
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{self._where}{self.discovery.root}"

    def link(self, path: str) -> str:
        return f"https://www.googleapis.com{self.discovery.root}/{path}"

    def lab(self, what: str, value: dict[str, Any]) -> dict[str, Any]:
        """Do what the test's side asks for: `what` is faults, hosts, forwards, put or delete; returns the state."""
        with self._lock:
            match what:
                case "faults":
                    self.trouble.set(json.dumps(value).encode())
                case "hosts":
                    self.add_host(**value)
                case "forwards":
                    self.hosts[value["name"]]["forwards"] = value["allowed"]
                case "put":
                    self.put(**value)
                case "delete":
                    self.routes.pop(value["name"], None)
            routes, violations = dict(self.routes), list(self.violations)
        return {"calls": self.trouble.told(), "routes": routes, "violations": violations}

    def put(self, destination: str, host: str, name: str) -> None:
        """Make a route as a person does, or flannel."""
        self.routes[name] = {
            "kind": "compute#route", "name": name, "destRange": destination, "priority": 1000, "tags": [],
            "network": self.link(f"projects/{PROJECT}/global/networks/{NETWORK}"),
            "nextHopInstance": self.link(f"projects/{PROJECT}/zones/{ZONE}/instances/{host}"),
        }  # fmt: skip

    def table(self) -> Mapping[str, str | None]:
        """The next hop of every route; None for an instance that is gone."""
        with self._lock:
            hops = {
                one["destRange"]: one["nextHopInstance"].rpartition("/")[2] for one in self.routes.values()
            }
        return {to: None if self._gone(hop) else self.hosts[hop]["address"] for to, hop in hops.items()}

    def _gone(self, host: str) -> bool:
        return host not in self.hosts or host in self.trouble.faults.gone

    def add_host(self, name: str, address: str, *, forwards: bool = True) -> str:
        """Add an instance; return its path."""
        self.hosts[name] = {"name": name, "address": address, "forwards": forwards}
        return f"projects/{PROJECT}/zones/{ZONE}/instances/{name}"

    def api(self, verb: str, path: str, query: dict[str, str], body: object) -> Answer:
        """Answer one call of the API."""
        try:
            name, at = self.discovery.method(verb, path, query, body)
        except ValueError as error:
            self.violations.append(str(error))
            return refused(400, "invalid", str(error))
        if answer := self._refused(name):
            return answer
        with self._lock:
            code, said = getattr(self, f"_{name.replace('.', '_')}")(at, body, query)
        self.trouble.count(name, "ok" if code < 400 else str(code))
        return code, self.discovery.answer(name, said) if code < 400 else said

    def _refused(self, name: str) -> Answer | None:
        faults = self.trouble.faults
        time.sleep(faults.slow)
        if faults.down:
            return refused(503, "backendError", "Service unavailable.")
        if self.trouble.throttled():
            return refused(403, "rateLimitExceeded", "Rate Limit Exceeded")
        granted = role() - set(faults.deny)
        if lacking := [one for one in _NEEDED[name] if one not in granted]:
            text = f"Required '{lacking[0]}' permission for 'projects/{PROJECT}'"
            return refused(403, "forbidden", text)
        if name == "routes.insert" and faults.full:
            return refused(403, "quotaExceeded", "Quota 'ROUTES' exceeded.  Limit: 100.0 globally.")
        return None

    def _instances_get(self, at: dict[str, str], *_: object) -> Answer:
        host = self.hosts.get(at["instance"])
        if host is None:
            return refused(404, "notFound", f"The resource {at['instance']} was not found")
        path = f"projects/{PROJECT}/zones/{ZONE}/instances/{host['name']}"
        return 200, {
            "kind": "compute#instance",
            "name": host["name"],
            "selfLink": self.link(path),
            "canIpForward": host["forwards"],
        }

    def _routes_list(self, _: object, __: object, query: dict[str, str]) -> Answer:
        names, start = sorted(self.routes), int(query.get("pageToken", 0))
        page = [self._told(self.routes[name]) for name in names[start : start + self.page]]
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(names) else {}
        return 200, {"kind": "compute#routeList", "items": page, **more}

    def _told(self, route: dict[str, Any]) -> dict[str, Any]:
        gone = self._gone(route["nextHopInstance"].rpartition("/")[2])
        warning = {"code": "NEXT_HOP_INSTANCE_NOT_FOUND", "message": "gone"}
        return {**route, **({"warnings": [warning]} if gone else {})}

    def _routes_insert(self, _: object, body: dict[str, Any], *__: object) -> Answer:
        if body["name"] in self.routes:
            return refused(409, "alreadyExists", f"The resource {body['name']} already exists")
        instance = body["nextHopInstance"].rpartition("projects/")[2]
        route = {
            **body, "kind": "compute#route", "nextHopInstance": self.link(f"projects/{instance}"),
            "network": self.link(body["network"]),
        }  # fmt: skip
        return 200, self._operation("insert", lambda: self.routes.__setitem__(body["name"], route))

    def _routes_delete(self, at: dict[str, str], *_: object) -> Answer:
        if at["route"] not in self.routes:
            return refused(404, "notFound", f"The resource {at['route']} was not found")
        return 200, self._operation("delete", lambda: self.routes.pop(at["route"], None))

    def _operation(self, kind: str, work: Any) -> dict[str, Any]:
        name = f"operation-{len(self.operations)}"
        operation = {"kind": "compute#operation", "name": name, "operationType": kind, "status": "RUNNING"}
        self.operations[name] = (time.monotonic() + OPERATION_S, {**operation, "work": work})
        return operation

    def _globalOperations_get(self, at: dict[str, str], *_: object) -> Answer:  # noqa: N802  (Google's spelling)
        ends, operation = self.operations[at["operation"]]
        if time.monotonic() >= ends and operation["status"] != "DONE":
            operation["work"]()
            operation["status"] = "DONE"
        return 200, {name: value for name, value in operation.items() if name != "work"}

    def caller(self, first: str, address: str) -> dict[str, Any] | None:
        """Return the host that is named first in a path, or else has the address."""
        by_address = {host["address"]: host for host in self.hosts.values()}
        return self.hosts.get(first) or by_address.get(address)

    def metadata(self, host: dict[str, Any], below: str) -> str | None:
        """Return what the metadata service answers to a host."""
        token = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        account = {"default": {"email": "lab@example.com", "scopes": ["x"], "aliases": ["default"]}}
        number = f"projects/1/zones/{ZONE}"
        return {
            "project/project-id": PROJECT,
            "instance/zone": number,
            "instance/name": host["name"],
            "instance/network-interfaces": json.dumps(
                [{"ip": host["address"], "network": f"projects/1/networks/{NETWORK}"}]
            ),
            "instance/service-accounts/default": json.dumps(account["default"]),
            "instance/service-accounts/default/token": json.dumps(token),
            "universe/universe-domain": "googleapis.com",
        }.get(below.strip("/"))


def refused(code: int, reason: str, text: str) -> Answer:
    """Return a refusal as Google words it."""
    return code, {
        "error": {
            "code": code,
            "message": text,
            "errors": [{"reason": reason, "message": text, "domain": "x"}],
        }
    }
