"""Serves the emulated Compute Engine over HTTP: its API, its metadata service, and what the test's side asks for."""

from __future__ import annotations

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from integration.cloud.gce_end import TOKEN, GceEnd, refused
from integration.cloud.mirror import Mirror


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gce: GceEnd

    def _do(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        first, _, below = parts.path.strip("/").partition("computeMetadata/v1/")
        if first.startswith("lab/"):
            self._answer(200, json.dumps(self.gce.lab(first.removeprefix("lab/"), json.loads(raw))))
        elif "computeMetadata/" in parts.path:
            self._metadata(first.strip("/"), below)
        elif first in {"", *self.gce.hosts}:  # google-auth makes sure that a metadata service is there
            self._answer(200, "computeMetadata/", "application/text")
        else:
            self._api(parts.path, dict(parse_qsl(parts.query)), raw)

    def _metadata(self, first: str, below: str) -> None:
        host = self.gce.caller(first, self.client_address[0])
        flavoured = self.headers.get("Metadata-Flavor") == "Google"
        said = self.gce.metadata(host, below) if host is not None and flavoured else None
        kind = "application/json" if said and said[0] in "[{" else "application/text"
        self._answer(200 if said is not None else 404, said or "", kind)

    def _api(self, path: str, query: dict[str, str], raw: bytes) -> None:
        if self.gce.trouble.faults.garbage:
            self._answer(200, "<html>It works!</html>", "text/html")
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            code, body = refused(401, "authError", "Invalid Credentials")
            self._answer(code, json.dumps(body))
        else:
            code, body = self.gce.api(self.command, path, query, json.loads(raw) if raw else None)
            self._answer(code, json.dumps(body))

    do_GET = do_POST = do_DELETE = _do  # noqa: N815  (the standard library's names)

    def _answer(self, code: int, text: str, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def serve(listen: str = "127.0.0.1", port: int = 0) -> tuple[GceEnd, ThreadingHTTPServer]:
    """Serve in threads of this process; port 0 is a free one."""
    server = ThreadingHTTPServer((listen, port), _Handler)
    end = GceEnd((listen, server.server_port))
    server.RequestHandlerClass = type("Handler", (_Handler,), {"gce": end})
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return end, server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mirror", action="store_true")
    wanted = parser.parse_args()
    end, server = serve(wanted.listen, wanted.port)
    if wanted.mirror:
        Mirror(end.table, metric=20).start()
    print(server.server_port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
