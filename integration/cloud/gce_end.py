"""Compute Engine for tests: the few calls of it that a host makes, held to Google's own discovery document.

Each request must be a method of the document (path, verb, parameters, and a body of the schema's fields and types), and
so must each answer. A write is an operation that takes a while. The metadata service is that of one host: the path in
front says which, where several share loopback.
"""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import googleapiclient  # type: ignore[import-untyped]

from integration.cloud.faults import Trouble

PROJECT, ZONE, NETWORK = "lab-project", "lab-zone", "lab-network"
OPERATION_S = 0.05
Answer = tuple[int, dict[str, Any]]
_DOCUMENT = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "compute.v1.json"
_USED = ("instances.get", "routes.list", "routes.insert", "routes.delete", "globalOperations.get")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "integer": int, "array": list, "object": dict, "number": (int, float),
}  # fmt: skip


class Discovery:
    """Google's description of the API, as far as it is used here."""

    def __init__(self) -> None:
        document = json.loads(_DOCUMENT.read_text())
        self._schemas = document["schemas"]
        self.root = "/" + document["servicePath"].rstrip("/")
        self._methods = []
        for name in _USED:
            resource, verb = name.split(".")
            method = document["resources"][resource]["methods"][verb]
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method["path"])
            self._methods.append(
                (
                    name,
                    method,
                    re.compile(f"{self.root}/{pattern}" if not pattern.startswith("/") else pattern),
                )
            )

    def method(self, verb: str, path: str, query: dict[str, str], body: object) -> tuple[str, dict[str, str]]:
        """The method's name and the path's parameters. Raises ValueError for what the document does not know."""
        for name, method, pattern in self._methods:
            found = pattern.fullmatch(path)
            if found is None or method["httpMethod"] != verb:
                continue
            if strange := set(query) - set(method["parameters"]):
                raise ValueError(f"{name} has no parameters {sorted(strange)}")
            if "request" in method:
                self.check(method["request"]["$ref"], body)
            return name, found.groupdict()
        raise ValueError(f"{verb} {path} is no method that is used")

    def answer(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body, of which the document knows every field."""
        method = next(method for known, method, _ in self._methods if known == name)
        self.check(method["response"]["$ref"], body)
        return body

    def check(self, schema: str, value: object) -> None:
        """Raises ValueError for a field that the schema does not have, or of another type."""
        self._check({"$ref": schema}, value, schema)

    def _check(self, schema: dict[str, Any], value: object, where: str) -> None:
        if "$ref" in schema:
            schema = {"type": "object", **self._schemas[schema["$ref"]]}
        if not isinstance(value, _TYPES[schema["type"]]):
            raise ValueError(f"{where} is {value!r}, of type {schema['type']}")  # noqa: TRY004  (one kind of violation)
        if isinstance(value, list):
            for item in value:
                self._check(schema["items"], item, f"{where}[]")
        if isinstance(value, dict) and "properties" in schema:
            for name, item in value.items():
                if name not in schema["properties"]:
                    raise ValueError(f"{where} has no field {name}")
                self._check(schema["properties"][name], item, f"{where}.{name}")
        if isinstance(value, str) and "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            raise ValueError(f"{where} is {value!r}, not like {schema['pattern']}")
        if "enum" in schema and value not in schema["enum"]:
            raise ValueError(f"{where} is {value!r}, none of {schema['enum']}")


class GceEnd:
    """The state of one project: hosts by the address of their interface, routes by name, operations."""

    def __init__(self, port: int) -> None:
        self.discovery = Discovery()
        self.trouble = Trouble()
        self.hosts: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, tuple[float, dict[str, Any]]] = {}
        self.violations: list[str] = []
        self._port = port
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self.discovery.root}"

    def link(self, path: str) -> str:
        return f"https://www.googleapis.com{self.discovery.root}/{path}"

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
            return _error(400, "invalid", str(error))
        if refused := self._refused(name):
            return refused
        with self._lock:
            code, said = getattr(self, f"_{name.replace('.', '_')}")(at, body, query)
        self.trouble.count(name, "ok" if code < 400 else str(code))
        return code, self.discovery.answer(name, said) if code < 400 else said

    def _refused(self, name: str) -> Answer | None:
        faults = self.trouble.faults
        time.sleep(faults.slow)
        if faults.down:
            return _error(503, "backendError", "Service unavailable.")
        if self.trouble.throttled():
            return _error(403, "rateLimitExceeded", "Rate Limit Exceeded")
        if name in faults.deny:
            text = f"Required 'compute.{name}' permission for 'projects/{PROJECT}'"
            return _error(403, "forbidden", text)
        if name == "routes.insert" and faults.full:
            return _error(403, "quotaExceeded", "Quota 'ROUTES' exceeded.  Limit: 100.0 globally.")
        return None

    def _instances_get(self, at: dict[str, str], *_: object) -> Answer:
        host = self.hosts.get(at["instance"])
        if host is None:
            return _error(404, "notFound", f"The resource {at['instance']} was not found")
        path = f"projects/{PROJECT}/zones/{ZONE}/instances/{host['name']}"
        return 200, {
            "kind": "compute#instance",
            "name": host["name"],
            "selfLink": self.link(path),
            "canIpForward": host["forwards"],
        }

    def _routes_list(self, _: object, __: object, query: dict[str, str]) -> Answer:
        """Return two routes a page, so that clients have to turn pages."""
        names, start = sorted(self.routes), int(query.get("pageToken", 0))
        page = [self._told(self.routes[name]) for name in names[start : start + 2]]
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(names) else {}
        return 200, {"kind": "compute#routeList", "items": page, **more}

    def _told(self, route: dict[str, Any]) -> dict[str, Any]:
        gone = route["nextHopInstance"].rpartition("/")[2] not in self.hosts
        warning = {"code": "NEXT_HOP_INSTANCE_NOT_FOUND", "message": "gone"}
        return {**route, **({"warnings": [warning]} if gone else {})}

    def _routes_insert(self, _: object, body: dict[str, Any], *__: object) -> Answer:
        if body["name"] in self.routes:
            return _error(409, "alreadyExists", f"The resource {body['name']} already exists")
        instance = body["nextHopInstance"].rpartition("projects/")[2]
        route = {
            **body, "kind": "compute#route", "nextHopInstance": self.link(f"projects/{instance}"),
            "network": self.link(body["network"]),
        }  # fmt: skip
        return 200, self._operation("insert", lambda: self.routes.__setitem__(body["name"], route))

    def _routes_delete(self, at: dict[str, str], *_: object) -> Answer:
        if at["route"] not in self.routes:
            return _error(404, "notFound", f"The resource {at['route']} was not found")
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

    def metadata(self, path: str) -> str | None:
        """Return what the metadata service answers to the host whose name comes first in the path."""
        name, _, below = path.strip("/").partition("/computeMetadata/v1/")
        host = self.hosts.get(name)
        if host is None:
            return None
        token = {"access_token": "lab-token", "expires_in": 3600, "token_type": "Bearer"}
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


def _error(code: int, reason: str, text: str) -> Answer:
    return code, {
        "error": {
            "code": code,
            "message": text,
            "errors": [{"reason": reason, "message": text, "domain": "x"}],
        }
    }


def serve() -> tuple[GceEnd, ThreadingHTTPServer]:
    """Serve on a free port of loopback, in threads of this process."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "/computeMetadata/" in parts.path:
                said = end.metadata(parts.path) if self.headers.get("Metadata-Flavor") == "Google" else None
                kind = "application/json" if said and said[0] in "[{" else "application/text"
                return self._answer(200 if said is not None else 404, said or "", kind)
            if parts.path.strip("/") in end.hosts:  # google-auth makes sure that a metadata service is there
                return self._answer(200, "computeMetadata/", "application/text")
            if self.headers.get("Authorization") != "Bearer lab-token":
                code, body = _error(401, "authError", "Invalid Credentials")
            else:
                query = dict(parse_qsl(parts.query))
                code, body = end.api(self.command, parts.path, query, json.loads(raw) if raw else None)
            return self._answer(code, json.dumps(body), "application/json")

        do_GET = do_POST = do_DELETE = _do  # noqa: N815  (the standard library's names)

        def _answer(self, code: int, text: str, kind: str) -> None:
            self.send_response(code)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    end = GceEnd(server.server_port)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return end, server
