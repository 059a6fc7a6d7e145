"""The page's server for tests: the real app on a free port of loopback, with a document that the test sets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext
from typing import Any, Self

from flanpy.clock import SystemClock
from flanpy.page.app import page_app
from flanpy.page.gate import PageGate
from flanpy.page.stream import Feed
from flanpy.status.http.server import serve_tcp


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(path: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    cert, key = path / f"{name}.pem", path / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


class PageServer:
    """Runs in a thread, so that a browser can be driven beside it. `show` replaces the document."""

    def __init__(
        self, document: dict[str, Any], gate: PageGate | None = None, tls: SSLContext | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"
        self._document = document
        self._gate = gate or PageGate(loopback=True)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stop: Callable[[], Any] | None = None

    def show(self, document: dict[str, Any]) -> None:
        self._document = document

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        async def serve() -> Callable[[], Any]:
            feed = Feed(lambda: self._document, self._answer, pair=self._pair)
            app = page_app(self._gate, feed, SystemClock(), encrypted=self._tls is not None)
            runner = await serve_tcp(app, "127.0.0.1", self.port, tls=self._tls, ends_with_client=True)
            return runner.cleanup

        self._stop = asyncio.run_coroutine_threadsafe(serve(), self._loop).result(60)

    def stop(self) -> None:
        """Stop as a daemon that ends."""
        if self._stop is not None:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
            self._stop = None

    def _pair(self, one: str, other: str) -> dict[str, Any]:
        return dict(self._document.get("pairs", {}).get(f"{one} {other}", {}))

    async def _answer(self) -> dict[str, Any]:
        return self._document
