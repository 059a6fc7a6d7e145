"""Endpoints, and TLS to a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flanpy.errors import ConfigError, StoreDenied, StoreError, StoreUnavailable
from flanpy.store.endpoint import Endpoint
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings, parse_endpoints
from tests.etcd_server import EtcdCluster, make_ca, make_certificate


@pytest.mark.parametrize(
    ("text", "endpoint", "target"),
    [
        ("http://10.0.0.1:2379", "http://10.0.0.1:2379", "ipv4:10.0.0.1:2379"),
        ("https://10.0.0.1", "https://10.0.0.1:2379", "ipv4:10.0.0.1:2379"),
        ("10.0.0.1:1234", "http://10.0.0.1:1234", "ipv4:10.0.0.1:1234"),
        ("http://[fd00::1]:2379/", "http://[fd00::1]:2379", "ipv6:[fd00::1]:2379"),
        ("etcd.example.net:2379", "http://etcd.example.net:2379", "dns:///etcd.example.net:2379"),
        ("localhost", "http://localhost:2379", "dns:///localhost:2379"),
    ],
)
def test_endpoint_is_read_as_flannel_and_etcdctl_write_it(text: str, endpoint: str, target: str) -> None:
    (parsed,) = parse_endpoints(EtcdSettings((text,)))
    assert (str(parsed), parsed.target) == (endpoint, target)


def test_endpoint_without_a_scheme_speaks_tls_exactly_when_a_tls_file_is_set() -> None:
    settings = EtcdSettings(("a:1", "http://b:1"), ca_file=Path("ca"))
    assert [endpoint.tls for endpoint in parse_endpoints(settings)] == [True, False]


def test_endpoints_count_once_when_they_are_repeated() -> None:
    settings = EtcdSettings(("http://a:2379", " a", "a:2379"))
    assert parse_endpoints(settings) == (Endpoint("a", 2379, tls=False),)


@pytest.mark.parametrize(
    "text",
    ["ftp://a:1", "http://", "http://a:99999", "http://a:x", "http://a:1/v3", "http://user:hunter2@a:1", ""],
)
def test_endpoint_error_names_the_text_and_the_cure_but_no_password(text: str) -> None:
    with pytest.raises(ConfigError, match="write it as http://host:2379") as caught:
        parse_endpoints(EtcdSettings((text,)))
    assert "hunter2" not in str(caught.value)


def test_settings_refuse_half_a_client_pair_and_no_endpoint_at_all() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        parse_endpoints(EtcdSettings(cert_file=Path("client.crt")))
    with pytest.raises(ConfigError, match="no etcd endpoint given"):
        parse_endpoints(EtcdSettings(()))


@pytest.fixture(scope="module")
def tls() -> Iterator[EtcdCluster]:
    with EtcdCluster.started(tls=True) as etcd:
        yield etcd


@pytest.fixture
def mutual() -> Iterator[EtcdCluster]:
    with EtcdCluster.started(client_certs=True) as etcd:
        yield etcd


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_needs_no_client_pair_when_etcd_asks_for_none(tls: EtcdCluster) -> None:
    port = tls.members[0].client_port
    for endpoint in (tls.urls[0], f"localhost:{port}", f"127.0.0.1:{port}"):
        async with EtcdSession(replace(tls.settings(), endpoints=(endpoint,))) as session:
            assert await session.put("/a", b"") > 1, endpoint


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_error_names_the_ca_file_when_it_is_another_ones(tls: EtcdCluster, tmp_path: Path) -> None:
    make_ca(tmp_path, "other")
    async with EtcdSession(replace(tls.settings(), ca_file=tmp_path / "other.crt")) as session:
        with pytest.raises(StoreDenied, match="not trusted for this name: correct etcd-cafile"):
            await session.get("/a")


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_error_names_the_file_when_it_cannot_be_read(tls: EtcdCluster, tmp_path: Path) -> None:
    async with EtcdSession(replace(tls.settings(), ca_file=tmp_path / "absent.crt")) as session:
        with pytest.raises(StoreError, match=r"absent\.crt.*No such file"):
            await session.get("/a")


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_error_names_the_scheme_when_only_one_side_speaks_tls(
    tls: EtcdCluster, etcd_server: EtcdCluster
) -> None:
    plain = etcd_server.urls[0].replace("http:", "https:")
    async with EtcdSession(replace(tls.settings(), endpoints=(plain,))) as session:
        with pytest.raises(
            StoreUnavailable, match="TLS handshake: see if it hangs, or if its endpoint begins with http://"
        ):
            await session.get("/a")
    secure = tls.urls[0].replace("https:", "http:")
    async with EtcdSession(EtcdSettings((secure,))) as session:
        with pytest.raises(StoreUnavailable, match=r"closed the connection: .* begins with https://"):
            await session.get("/a")


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_proves_us_with_the_client_pair_and_says_when_one_is_missing(mutual: EtcdCluster) -> None:
    async with EtcdSession(mutual.settings()) as session:
        assert await session.put("/a", b"") > 1
    async with EtcdSession(replace(mutual.settings(), cert_file=None, key_file=None)) as session:
        with pytest.raises(StoreDenied, match="wants one: correct etcd-certfile"):
            await session.get("/a")


@pytest.mark.etcd
@pytest.mark.asyncio
async def test_tls_files_are_read_again_when_they_change_on_disk(mutual: EtcdCluster) -> None:
    good = mutual.settings()
    directory = mutual.directory
    make_ca(directory, "other")
    make_certificate(directory, "stranger", names="DNS:stranger.invalid", ca="other")
    cert, key = directory / "used.crt", directory / "used.key"
    install(directory / "stranger.crt", cert)
    install(directory / "stranger.key", key)
    async with EtcdSession(replace(good, cert_file=cert, key_file=key)) as session:
        with pytest.raises(StoreError):
            await session.get("/a")
        install(directory / "client.crt", cert)
        install(directory / "client.key", key)
        assert await session.put("/a", b"") > 1
        watch = session.watch("/a")
        await anext(watch)
        install(directory / "client.crt", cert)
        await session.put("/a", b"again")
        async with asyncio.timeout(10):
            await anext(watch)
        assert session.stats.calls["watch", "OK"] == 1, "a rotation does not disturb a watch that lives"


def install(source: Path, target: Path) -> None:
    """Install the file as certbot and others do: write beside, then rename."""
    beside = target.with_suffix(".new")
    beside.write_bytes(source.read_bytes())
    beside.replace(target)
