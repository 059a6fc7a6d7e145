"""The page over HTTP: what it serves to whom, with which headers, and what it refuses."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from flanpy.clock import SystemClock
from flanpy.config.settings import ListenAddress, PageOptions
from flanpy.errors import HostError
from flanpy.page.app import FILES, STATIC
from flanpy.page.gate import COOKIE, PageGate
from flanpy.page.listening import _secrets, start
from flanpy.page.stream import MOST_LISTENERS, Feed
from tests.page import pictures, samples
from tests.page.server import PageServer, certificate

TOKEN = "correct-horse-battery"
HERE = ListenAddress(IPv4Address("127.0.0.1"), 0)
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer(samples.healthy()) as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[PageServer]:
    with PageServer(samples.healthy(), PageGate(loopback=False, token=TOKEN)) as server:
        yield server


class Answer:
    def __init__(self, answer: http.client.HTTPResponse, *, whole: bool = True) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.text = answer.read().decode() if whole else answer.readline().decode()


def _ask(
    server: PageServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): text for name, text in headers.items()}
        )
        return Answer(connection.getresponse(), whole=path != "/events")
    finally:
        connection.close()


def test_every_file_of_the_page_is_served_with_its_type_and_the_policy(server: PageServer) -> None:
    for name in {*FILES} - {"index.html", "entry.html"}:
        answer = _ask(server, f"/{name}")
        assert answer.status == 200, name
        assert answer.headers["Content-Type"].startswith(FILES[name]), name
        assert answer.text == (STATIC / name).read_text()
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_file_is_left_unserved_and_no_other_is_served(server: PageServer) -> None:
    assert {path.name for path in STATIC.iterdir()} == {*FILES}
    for path in ("/app.py", "/../app.py", "/static/main.js", "/%2e%2e/gate.py", "/entry.html"):
        assert _ask(server, path).status == 404, path


def test_page_stays_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 70_000


def test_docs_show_every_picture_that_is_made_for_them() -> None:
    text = (pictures.PICTURES.parent / "explanation" / "status-page.md").read_text()
    shown = set(re.findall(r"pictures/(page-[\w-]+)\.png", text))
    assert shown == {shot.name for shot in pictures.shots() if shot.in_docs}
    assert {path.stem for path in pictures.PICTURES.glob("page-*.png")} == shown


def test_page_uses_nothing_from_elsewhere_and_nothing_inline() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?://|//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|document\.write", text
        ), path
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text), path


def test_page_is_read_only(server: PageServer) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/events", "/main.js"):
            assert _ask(server, path, method).status == 405


def test_stream_tells_the_document(server: PageServer) -> None:
    answer = _ask(server, "/events")
    assert (answer.status, answer.text) == (200, "retry: 2000\n")
    assert answer.headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("path", ["/", "/events", "/main.js", "/?token=x"])
def test_name_of_a_web_site_that_leads_here_is_refused(server: PageServer, path: str) -> None:
    answer = _ask(server, path, Host="evil.example:8474")
    assert answer.status == 421
    assert "h1" not in answer.text


def test_listeners_beyond_the_bound_are_told_to_come_again_until_one_leaves() -> None:
    with PageServer(samples.healthy()) as server:
        held = [_listener(server) for _ in range(MOST_LISTENERS)]
        try:
            answer = _ask(server, "/events")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            assert _ask(server, "/").status == 200
            held.pop().close()
            end = time.monotonic() + TIMEOUT_S
            while _ask(server, "/events").status != 200:
                assert time.monotonic() < end, "a place that nobody has is not given away"
        finally:
            for connection in held:
                connection.close()


def _listener(server: PageServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)
    connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in connection.recv(100)
    return connection


@pytest.mark.parametrize("path", ["/events", "/main.js", "/events?token=" + TOKEN, "/events?token=x"])
def test_token_is_asked_for_everything_that_tells_of_the_cluster(guarded: PageServer, path: str) -> None:
    answer = _ask(guarded, path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", f"/?token={TOKEN}x"])
def test_page_without_the_token_is_a_question_for_it(guarded: PageServer, path: str) -> None:
    answer = _ask(guarded, path)
    assert answer.status == 401
    assert 'name="token"' in answer.text
    assert "Set-Cookie" not in answer.headers


def test_bearer_of_the_token_may_read_all(guarded: PageServer) -> None:
    assert _ask(guarded, "/events", Authorization=f"Bearer {TOKEN}").status == 200
    assert _ask(guarded, "/events", Authorization=f"Bearer {TOKEN}x").status == 401


def test_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(guarded: PageServer) -> None:
    for answer in (
        _ask(guarded, f"/?token={TOKEN}"),
        _ask(guarded, "/entry", "POST", f"token={TOKEN}", Content_Type="application/x-www-form-urlencoded"),
    ):
        assert answer.status == 200
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        assert TOKEN not in cookie + answer.text
        assert _ask(guarded, "/events", Cookie=cookie.split(";")[0]).status == 200
    assert (
        _ask(guarded, "/entry", "POST", "token=no", Content_Type="application/x-www-form-urlencoded").status
        == 401
    )


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded; charset=no-such", "multipart/form-data"]
)
@pytest.mark.parametrize("body", ["token=\u00e9", "--b\r\n", "", f"other={TOKEN}"])
def test_form_of_any_kind_without_the_token_is_asked_for_it(
    guarded: PageServer, caplog: pytest.LogCaptureFixture, kind: str, body: str
) -> None:
    assert _ask(guarded, "/entry", "POST", body, Content_Type=kind).status == 401
    assert caplog.records == []


def test_encrypted_page_keeps_its_cookie_off_plain_connections(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "node")
    (tmp_path / "token").write_text(TOKEN)
    tls, token = _secrets(PageOptions(cert=cert, key=key, token_file=tmp_path / "token"))
    with PageServer(samples.healthy(), PageGate(loopback=False, token=token), tls) as server:
        trust = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=TIMEOUT_S, context=trust)
        connection.request("GET", f"/?token={TOKEN}", headers={"Host": "node.example"})
        cookie = connection.getresponse().headers["Set-Cookie"]
        connection.close()
        assert "Secure" in {part.strip() for part in cookie.split(";")}


@pytest.mark.asyncio
async def test_key_of_another_certificate_is_refused_by_name(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path, "node")
    _, key = certificate(tmp_path, "other")

    async def nothing() -> dict[str, object]:
        return {}

    listen = start(PageOptions(listen=HERE, cert=cert, key=key), Feed(lambda: 1, nothing), SystemClock())
    with pytest.raises(HostError, match=f"page-cert {cert} with page-key {key}"):
        await listen()
