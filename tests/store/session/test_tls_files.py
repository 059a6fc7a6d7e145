"""TLS files for etcd that cannot be used: each is named before anything is dialed."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flanpy.doctor.etcd import endpoints
from flanpy.errors import StoreError
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings
from flanpy.store.session.tls_files import check
from tests.etcd_server import make_ca, make_certificates

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make_certificates(directory)
    make_ca(directory, "other")
    return directory


def openssl(path: Path, words: str) -> None:
    new = path.with_suffix(".new")
    command = ["openssl", *words.split(), "-in", str(path), "-out", str(new)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    new.replace(path)


DAMAGES: list[tuple[Damage, str]] = [
    (lambda d: openssl(d / "ca.crt", "x509 -outform der"), r"etcd-cafile '\S+/ca.crt' is in DER"),
    (lambda d: bom(d / "ca.crt"), r"etcd-cafile '\S+/ca.crt' begins with a byte order mark"),
    (lambda d: shutil.copy(d / "ca.key", d / "ca.crt"), r"etcd-cafile '\S+/ca.crt' is a private key"),
    (lambda d: (d / "ca.crt").write_text("hello"), r"etcd-cafile '\S+/ca.crt' holds nothing in PEM"),
    (lambda d: (d / "ca.crt").unlink(), r"etcd-cafile '\S+/ca.crt' cannot be read: No such file"),
    (lambda d: cut(d / "ca.crt"), r"etcd-cafile '\S+/ca.crt' holds a certificate that is damaged"),
    (lambda d: shutil.copy(d / "other.key", d / "client.key"), r"etcd-keyfile '\S+' is the key of another"),
    (lambda d: shutil.copy(d / "client.crt", d / "client.key"), r"etcd-keyfile '\S+' is a certificate"),
    (lambda d: shutil.copy(d / "client.key", d / "client.crt"), r"etcd-certfile '\S+' is a private key"),
    (
        lambda d: openssl(d / "client.key", "pkey -aes256 -passout pass:1234"),
        r"etcd-keyfile '\S+' has a passphrase",
    ),
    (lambda d: bom(d / "client.key"), r"etcd-keyfile '\S+' begins with a byte order mark"),
    (
        lambda d: openssl(d / "client.key", "pkey -outform der"),
        r"etcd-keyfile '\S+' is in DER",
    ),
    (lambda d: cut(d / "client.crt"), r"etcd-certfile '\S+' or etcd-keyfile '\S+' is damaged"),
]


def bom(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def cut(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")


def test_files_that_can_be_used_are_not_complained_of(good: Path) -> None:
    check(good / "ca.crt", good / "client.crt", good / "client.key")
    check(None, None, None)


@pytest.mark.asyncio
@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[said for _, said in DAMAGES])
async def test_file_that_cannot_be_used_is_named_and_nothing_is_dialed(
    good: Path, tmp_path: Path, damage: Damage, said: str
) -> None:
    directory = Path(shutil.copytree(good, tmp_path / "tls"))
    damage(directory)
    with closing(socket.create_server(("127.0.0.1", 0))) as etcd:
        etcd.setblocking(False)
        url = f"https://127.0.0.1:{etcd.getsockname()[1]}"
        files = {"cafile": "ca.crt", "certfile": "client.crt", "keyfile": "client.key"}
        paths = {name: directory / file for name, file in files.items()}
        settings = EtcdSettings(
            (url,), ca_file=paths["cafile"], cert_file=paths["certfile"], key_file=paths["keyfile"]
        )
        async with EtcdSession(settings) as session:
            with pytest.raises(StoreError, match=said):
                await session.get("/a")
        (seen,) = endpoints((url,), {name: str(path) for name, path in paths.items()}, 5.0)
        assert re.search(said, seen.problem)
        with pytest.raises(BlockingIOError):
            etcd.accept()
