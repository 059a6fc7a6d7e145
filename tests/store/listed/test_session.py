"""The session out of a list: on a real file and a real TLS server, as the parts of the daemon use it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from flanpy.clock import SystemClock
from flanpy.errors import ConfigError, LeaseGone, StoreDenied, StoreUnavailable
from flanpy.model.lease import Lease
from flanpy.store.listed.session import ListedSession, ThisHost
from flanpy.store.listed.source import UrlSource, list_source
from flanpy.store.port import Delta, News, Progress, PutKey, Snapshot, Stale, Txn, Watch, key_absent
from flanpy.store.schema import decode_lease
from tests.store.listed.test_document import ONE, TWO, document

PREFIX = "/n"
SUBNETS = "/n/subnets/"
THREE = {"name": "web-3", "subnet": "10.50.3.0/24", "address": "192.0.2.3"}
ME = ThisHost("id-of-web-1", "web-1")


@asynccontextmanager
async def opened(
    place: str,
    me: ThisHost = ME,
    *,
    ca: Path | None = None,
    addresses: frozenset[IPv4Address] = frozenset(),
) -> AsyncIterator[ListedSession]:
    clock = SystemClock()
    session = ListedSession(list_source(place, ca), PREFIX, me, clock=clock, addresses=lambda: addresses)
    tasks = [asyncio.create_task(work) for work in session.tasks().values()]
    try:
        yield session
    finally:
        for task in tasks:
            task.cancel()
        await session.aclose()


def replaced(path: Path, text: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text)
    fresh.replace(path)


async def following(watch: Watch, *kinds: type[News]) -> News:
    """The next news, which must be of one of these kinds."""
    async with asyncio.timeout(10):
        news = await anext(watch)
    assert isinstance(news, kinds), news
    return news


def owners(news: News) -> dict[str, str]:
    """Node id by subnet key of what was put."""
    assert isinstance(news, Snapshot | Delta)
    items = news.items if isinstance(news, Snapshot) else news.puts
    leases = [decode_lease(item, SUBNETS) for item in items]
    return {str(one.key): one.record.node_id for one in leases if isinstance(one, Lease)}


@pytest.mark.asyncio
async def test_list_is_followed_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_bytes(document(ONE, TWO))
    async with opened(str(path)) as session:
        watch = session.watch(SUBNETS)
        first = await following(watch, Snapshot)
        assert owners(first) == {"10.50.1.0-24": "id-of-web-1", "10.50.2.0-24": "web-2"}
        replaced(path, document(ONE, TWO, THREE))
        assert owners(await following(watch, Delta)) == {"10.50.3.0-24": "web-3"}
        replaced(path, b"{")
        stale = await following(watch, Stale)
        assert isinstance(stale, Stale)
        assert stale.error == f"{path}: line 1, column 2: Expecting property name enclosed in double quotes"
        with pytest.raises(StoreUnavailable, match="line 1, column 2"):
            await session.list(SUBNETS)
        path.write_bytes(b'{"hosts": []}')
        while "missing required field `network`" not in str(await following(watch, Stale)):
            pass  # a file that is written in place is seen empty on the way
        replaced(path, document(ONE, TWO, THREE))
        await following(watch, Progress)
        replaced(path, document(ONE, THREE))
        gone = await following(watch, Delta)
        assert isinstance(gone, Delta)
        assert [one.key for one in gone.deletes] == ["/n/subnets/10.50.2.0-24"]
        path.unlink()
        assert "there is no file" in str(await following(watch, Stale))
        assert session.stats.outage_since is not None
        replaced(path, document(ONE))
        await following(watch, Delta)
        assert session.stats.outage_since is None


@pytest.mark.asyncio
async def test_relisting_is_a_reading_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_bytes(document(ONE))
    async with opened(str(path)) as session:
        watch = session.watch(SUBNETS)
        await following(watch, Snapshot)
        reads = session.reads
        watch.relist("brake")
        again = await following(watch, Snapshot)
        assert isinstance(again, Snapshot)
        assert again.reason == "brake"
        assert session.reads > reads


@pytest.mark.asyncio
async def test_nothing_but_our_own_value_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_bytes(document(ONE, TWO))
    async with opened(str(path)) as session:
        watch = session.watch(SUBNETS)
        await following(watch, Snapshot)
        own, other = SUBNETS + "10.50.1.0-24", SUBNETS + "10.50.2.0-24"
        assert (await session.txn(Txn(success=(PutKey(own, b"mine"),)))).succeeded
        await following(watch, Delta)
        replaced(path, document(ONE, TWO, THREE))
        await following(watch, Delta)
        found = await session.get(own)
        assert found is not None
        assert found.value == b"mine", "the list says nothing new of us"
        refused = await session.txn(Txn((key_absent(own),), (PutKey(own, b"no"),)))
        assert not refused.succeeded
        for write in (session.put(other, b""), session.delete(own), session.grant(60)):
            with pytest.raises(StoreDenied):
                await write
        with pytest.raises(LeaseGone):
            await session.time_to_live(1)
        assert json.loads(path.read_bytes())["hosts"] == [ONE, TWO, THREE], "the list is only read"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("me", "addresses", "ours"),
    [
        (ThisHost("web-2", "web-1"), set(), "10.50.2.0-24"),
        (ThisHost("x", "web-1"), {"192.0.2.2"}, "10.50.1.0-24"),
        (ThisHost("x", ""), {"10.0.0.1", "192.0.2.2"}, "10.50.2.0-24"),
        (ThisHost("x", "y"), {"10.0.0.1"}, None),
    ],
)
async def test_host_is_found_by_node_id_then_name_then_address(
    tmp_path: Path, me: ThisHost, addresses: set[str], ours: str | None
) -> None:
    path = tmp_path / "hosts.json"
    path.write_bytes(document(ONE, TWO))
    here = frozenset(map(IPv4Address, addresses))
    async with opened(str(path), me, addresses=here) as session:
        found = owners(await following(session.watch(SUBNETS), Snapshot))
        assert [key for key, node in found.items() if node == me.node_id] == ([ours] if ours else [])
        if ours is None:
            with pytest.raises(
                StoreDenied, match=r"is this one \(node id x, name y, addresses 10\.0\.0\.1\)"
            ):
                await session.grant(60)


# By URL


class _Site(BaseHTTPRequestHandler):
    text = b""
    asked: list[str | None] = []
    status = 200

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("If-None-Match"))
        tag = f'"{hash(self.text)}"'
        status = 304 if self.headers.get("If-None-Match") == tag and self.status == 200 else self.status
        self.send_response(status)
        self.send_header("ETag", tag)
        self.send_header("Location", "https://localhost:1/")
        self.end_headers()
        if status == 200:
            self.wfile.write(self.text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, of the base class
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(tmp_path / "key.pem"),
         "-out", str(path)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return path


@pytest.fixture
def site(certificate: Path) -> Iterator[tuple[type[_Site], str]]:
    class Site(_Site):
        asked: list[str | None] = []

    server = HTTPServer(("127.0.0.1", 0), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Site, f"https://localhost:{server.server_address[1]}/hosts.json"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.asyncio
async def test_url_is_asked_by_its_etag_and_trusted_by_its_certificate(
    site: tuple[type[_Site], str], certificate: Path
) -> None:
    server, url = site
    server.text = document(ONE, TWO)
    async with opened(url, ca=certificate) as session:
        watch = session.watch(SUBNETS)
        await following(watch, Snapshot)
        session.read_again()
        server.text = document(ONE)
        watch.relist("again")
        await following(watch, Snapshot, Delta)
        reads = session.reads
        watch.relist("again")
        await following(watch, Snapshot)
        assert session.reads > reads
        assert server.asked[0] is None
        assert server.asked[-1] == f'"{hash(server.text)}"'
        assert [(str(one), one.tls) for one in session.endpoints] == [(url.removesuffix("/hosts.json"), True)]


@pytest.mark.asyncio
async def test_server_of_another_authority_and_one_that_leads_on_are_not_believed(
    site: tuple[type[_Site], str], certificate: Path
) -> None:
    server, url = site
    server.text = document(ONE)
    async with opened(url) as session:
        assert "certificate verify failed" in str(await following(session.watch(SUBNETS), Stale))
    for status, reason in (
        (302, "leads on to https://localhost:1/"),
        (404, "answers 404 Not Found"),
        (500, "500"),
    ):
        server.status = status
        async with opened(url, ca=certificate) as session:
            assert reason in str(await following(session.watch(SUBNETS), Stale))


@pytest.mark.asyncio
async def test_document_that_is_refused_is_asked_for_whole_again(
    site: tuple[type[_Site], str], certificate: Path
) -> None:
    server, url = site
    server.text = b"{"
    async with opened(url, ca=certificate) as session:
        watch = session.watch(SUBNETS)
        await following(watch, Stale)
        session.read_again()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(watch)
        assert server.asked == [None] * len(server.asked)
        server.text = document(ONE)
        session.read_again()
        await following(watch, Snapshot)


@pytest.mark.parametrize("url", ["ftp://h/x", "https://", "https://[::1", "https://h:99999/x"])
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="leases-from"):
        UrlSource(url, None)


@pytest.mark.asyncio
async def test_file_that_never_ends_keeps_neither_the_reader_nor_the_process(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with opened(str(pipe)) as session:
        assert "there is no file" in str(await following(session.watch(SUBNETS), Stale))
