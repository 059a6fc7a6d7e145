"""AWS for tests: moto's EC2 and IAM behind a gate that can fail as AWS does, and an IMDSv2 that knows each host.

moto has no metadata of interfaces, no quota of routes and no black holes: those three are here, and each call of a host
is judged by moto's IAM. A host is told by the
address it calls from, or where all call from loopback by a path that it puts first.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from integration.cloud.faults import Trouble
from integration.cloud.iam import refusal
from integration.cloud.mirror import Mirror

REGION = "eu-central-1"
os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error>'
    "</Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
)
_TOKEN = "lab-token"
_DOWN = "503 Service Unavailable"


class AwsEnd:
    """A WSGI application around moto's."""

    def __init__(self, app: Callable[[dict[str, Any], StartResponse], Iterable[bytes]]) -> None:
        self._app = app
        self._trouble = Trouble()
        self._hosts: dict[str, dict[str, str]] = {}

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/lab/"):
            return self._lab(path, environ, start)
        if "/latest/" in path:
            caller, _, below = path.partition("/latest/")
            return self._imds(caller.strip("/"), f"/latest/{below}", environ, start)
        return self._api(environ, start)

    def _lab(self, path: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if path == "/lab/faults":
            self._trouble.set(body)
        elif path == "/lab/hosts":
            self._hosts.update(json.loads(body))
        return _answer(start, "200 OK", json.dumps(self._trouble.told()), "application/json")

    def _imds(self, caller: str, path: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if path == "/latest/api/token":
            wanted = environ["REQUEST_METHOD"] == "PUT" and environ.get(
                "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
            )
            return _answer(start, "200 OK" if wanted else "400 Bad Request", _TOKEN)
        if environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN") != _TOKEN:
            return _answer(start, "401 Unauthorized", "")
        host = self._hosts.get(caller) or self._hosts.get(environ["REMOTE_ADDR"])
        text = None if host is None else _metadata(host).get(path.removeprefix("/latest/meta-data/"))
        return _answer(start, "404 Not Found" if text is None else "200 OK", text or "")

    def _api(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        values = parse_qs(body.decode("latin-1"))
        action = values.get("Action", [""])[0]
        faults, trouble = self._trouble.faults, self._trouble
        if "flanpy" not in environ.get("HTTP_USER_AGENT", ""):  # who sets the lab up is spared
            return self._pass_on(environ, start, body)
        time.sleep(faults.slow)
        if faults.down:
            trouble.count(action, "down")
            return _answer(start, _DOWN, _ERROR.format("Unavailable", "The service is down."))
        if faults.garbage:
            return _answer(start, "200 OK", "<Nonsense><a>1</a></Nonsense>", "text/xml")
        if trouble.throttled():
            trouble.count(action, "throttled")
            return _answer(
                start,
                "503 Service Unavailable",
                _ERROR.format("RequestLimitExceeded", "Request limit exceeded."),
            )
        code, text = refusal(environ, body, values, REGION)
        if code:
            trouble.count(action, "denied")
            return _answer(start, "403 Forbidden", _ERROR.format(code, escape(text)))
        if action == "CreateRoute" and faults.full and b"DryRun=true" not in body:
            trouble.count(action, "full")
            text = "The maximum number of routes has been reached."
            return _answer(start, "400 Bad Request", _ERROR.format("RouteLimitExceeded", text))
        trouble.count(action, "dry" if b"DryRun=true" in body else "ok")
        if b"DryRun=true" in body:  # moto knows it of some calls only
            text = "Request would have succeeded, but DryRun flag is set."
            return _answer(start, "412 Precondition Failed", _ERROR.format("DryRunOperation", text))
        return self._pass_on(environ, start, body)

    def _pass_on(self, environ: dict[str, Any], start: StartResponse, body: bytes) -> Iterable[bytes]:
        environ["wsgi.input"] = io.BytesIO(body)
        said: list[Any] = []

        def listen(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            said.extend([status, headers])

        chunks = b"".join(self._app(environ, listen))
        for target in self._trouble.faults.gone:
            pattern = rf"(<networkInterfaceId>{target}</networkInterfaceId>.*?<state>)active(</state>)"
            chunks = re.sub(pattern.encode(), rb"\1blackhole\2", chunks, flags=re.DOTALL)
        headers = [(name, value) for name, value in said[1] if name.lower() != "content-length"]
        start(said[0], [*headers, ("Content-Length", str(len(chunks)))])
        return [chunks]

    def table(self) -> Mapping[str, str | None]:
        """The next hop of every route to an interface, by moto's own values."""
        found: dict[str, str | None] = {}
        tables = [
            table
            for account in [*get_backend("ec2").values()]
            for table in [*account[REGION].route_tables.values()]
        ]
        for table in tables:
            for route in table.routes:
                if route.interface is not None and route.destination_cidr_block:
                    gone = route.interface.id in self._trouble.faults.gone
                    found[route.destination_cidr_block] = None if gone else route.interface.private_ip_address
        return found


def _metadata(host: Mapping[str, str]) -> dict[str, str]:
    at = f"network/interfaces/macs/{host['mac']}"
    credentials = {
        "Code": "Success",
        "AccessKeyId": host.get("key", "AKIAIOSFODNN7EXAMPLE"),
        "SecretAccessKey": host.get("secret", "lab-secret-key"),
        "Token": host.get("token", "lab-session-token"),
        "Expiration": "2099-01-01T00:00:00Z",
    }
    return {
        "network/interfaces/macs/": f"{host['mac']}/",
        f"{at}/local-ipv4s": host["address"],
        f"{at}/interface-id": host["interface"],
        f"{at}/subnet-id": host["subnet"],
        f"{at}/vpc-id": host["vpc"],
        "placement/region": REGION,
        "placement/availability-zone/": f"{REGION}a",
        "iam/security-credentials/": "flanpy",
        "iam/security-credentials/flanpy": json.dumps(credentials),
    }


def _answer(start: StartResponse, status: str, text: str, kind: str = "text/plain") -> Iterable[bytes]:
    raw = text.encode()
    start(status, [("Content-Type", kind), ("Content-Length", str(len(raw)))])
    return [raw]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mirror", action="store_true")
    wanted = parser.parse_args()
    end = AwsEnd(DomainDispatcherApplication(create_backend_app))
    server = make_server(wanted.listen, wanted.port, end, threaded=True)
    if wanted.mirror:
        Mirror(end.table, metric=10).start()
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
