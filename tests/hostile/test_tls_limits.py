"""Ten times more TLS connections than a limit: memory and descriptors stay flat, and an honest client is served."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flanpy.page.gate import PageGate
from flanpy.page.stream import MOST_LISTENERS
from flanpy.status.http import tls_server
from flanpy.status.http.limits import MOST_HANDSHAKES, Limit, exceeded, limit_counts
from tests.page import samples
from tests.page.server import PageServer, certificate

PATIENCE_S = 60.0
CROWD = 10 * MOST_HANDSHAKES
OF_A_CONNECTION = 330_000
"""Bytes: asyncio's buffer of 256 KB, and OpenSSL's state."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page with TLS, and who trusts it."""

    port: int
    trust: ssl.SSLContext

    def silent(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def client(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        client = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S, context=self.trust, source_address=(source, 0)
        )
        client.connect()
        return client


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    cert, key = certificate(tmp_path_factory.mktemp("tls"), "node")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    return tls, ssl.create_default_context(cafile=str(cert))


@pytest.fixture
def page(secrets: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Page]:
    tls, trust = secrets
    with PageServer(samples.healthy(), PageGate(loopback=True), tls) as server:
        yield Page(server.port, trust)


def _status(client: http.client.HTTPSConnection, resource: str = "/page.css") -> int:
    client.request("GET", resource)
    answer = client.getresponse()
    answer.read()
    return answer.status


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_silent_crowd_takes_neither_memory_nor_descriptors_nor_the_place_of_others(page: Page) -> None:
    early = page.client()
    assert _status(early) == 200
    descriptors, memory, ended = _descriptors(), _resident(), exceeded[Limit.HANDSHAKES]
    with ExitStack() as stack:
        crowd = [stack.enter_context(page.silent()) for _ in range(CROWD)]
        assert {sock.recv(1) for sock in crowd[:-MOST_HANDSHAKES]} == {b""}
        assert _descriptors() - descriptors <= CROWD + MOST_HANDSHAKES + 2
        assert _resident() - memory <= (MOST_HANDSHAKES + 8) * OF_A_CONNECTION
        assert _status(page.client()) == 200
        assert _status(early) == 200, "handshakes end handshakes, not connections"
    assert exceeded[Limit.HANDSHAKES] - ended >= CROWD - MOST_HANDSHAKES
    early.close()


def test_crowd_that_keeps_coming_keeps_no_other_address_out(page: Page) -> None:
    stop, came = threading.Event(), threading.Event()

    def flood() -> None:
        held: list[socket.socket] = []
        while not stop.is_set():
            held.append(page.silent())
            if len(held) > CROWD:
                came.set()
                held.pop(0).close()
        for sock in held:
            sock.close()

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        assert came.wait(PATIENCE_S)
        for _ in range(10):
            client = page.client("127.0.0.2")
            assert _status(client) == 200
            client.close()
    finally:
        stop.set()
        flooding.join(PATIENCE_S)


def test_handshake_that_does_not_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, secrets: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    monkeypatch.setattr(tls_server, "HANDSHAKE_DEADLINE", 0.2)
    with PageServer(samples.healthy(), tls=secrets[0]) as server:
        sock = Page(server.port, secrets[1]).silent()
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        with sock, suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_streams_beyond_the_limit_are_refused_and_the_page_is_served(page: Page) -> None:
    refused = exceeded[Limit.STREAMS]
    with ExitStack() as stack:
        answers = []
        for _ in range(10 * MOST_LISTENERS):
            client = page.client()
            stack.callback(client.close)
            client.request("GET", "/events")
            answer = client.getresponse()
            stack.callback(answer.close)
            answers.append(answer.status)
            if answer.status != 200:
                client.close()
        assert answers == [200] * MOST_LISTENERS + [503] * 9 * MOST_LISTENERS
        assert _status(page.client()) == 200
    assert exceeded[Limit.STREAMS] - refused == 9 * MOST_LISTENERS


def test_each_limit_has_a_row_in_the_metrics() -> None:
    (family,) = limit_counts()
    assert [sample.labels["limit"] for sample in family.samples] == [limit.value for limit in Limit]
