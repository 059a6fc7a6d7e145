"""The places of a list of hosts: a file, followed by inotify(7), or a URL, asked every half minute by its ETag.

A writer of the list can lead every container's packets away: the settings take no http:// URL of another host,
and here no redirect is followed, and no proxy of the environment asked. Each read is in a thread of its own, for a disk
or server may hang; that thread keeps no process alive.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Final, Protocol
from urllib.parse import urlsplit

from flanpy.clock import Clock
from flanpy.errors import ConfigError, FlanpyError, ListRefused, StoreUnavailable
from flanpy.files.news import FileNews
from flanpy.store.endpoint import Endpoint
from flanpy.store.listed.document import LARGEST_DOCUMENT
from flanpy.tls import client_context

ASK_AGAIN: Final = 30.0
"""Seconds between two looks: at a URL, and at a file that cannot be watched."""
RARE_LOOK: Final = 300.0
"""Seconds between two looks at a file that is watched: other hosts' writes on a network file system are no events."""
PATIENCE: Final = 10.0
"""Seconds for an answer."""


class ListSource(Protocol):
    """The place of a list. `str` of it is its name for people."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the server that is asked, none for a file."""
        ...

    def following(self) -> AbstractContextManager[None]:
        """Take news while the context lasts."""
        ...

    async def read(self) -> bytes | None:
        """Return the document, None if it is as at the last read. Raises StoreUnavailable or ListRefused."""
        ...

    def forget(self) -> None:
        """Have the next read return the document in any case: the last one could not be used."""
        ...

    async def wait(self, clock: Clock) -> None:
        """Wait until the document may have changed."""
        ...


def list_source(where: str, ca_file: Path | None = None) -> FileSource | UrlSource:
    """Return the source at a path or URL. Raises ConfigError for one that cannot be used."""
    if "://" in where:
        return UrlSource(where, ca_file)
    return FileSource(Path(where))


class FileSource:
    """A file. It is read whole each time: it changes by a person's hand."""

    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._news = FileNews(path)

    def __str__(self) -> str:
        return str(self._path)

    @contextmanager
    def following(self) -> Iterator[None]:
        """See `ListSource`."""
        with self._news.listening():
            yield

    async def read(self) -> bytes | None:
        """See `ListSource`."""
        return await _in_thread(self._read)

    def forget(self) -> None:
        """See `ListSource`. Each read is whole."""

    async def wait(self, clock: Clock) -> None:
        """See `ListSource`."""
        await self._news.wait(clock, ASK_AGAIN, RARE_LOOK)

    def _read(self) -> bytes:
        self._news.arm()
        try:
            if not self._path.is_file():
                raise StoreUnavailable(f"there is no file {self._path}: write it, or set leases-from")
            with self._path.open("rb") as file:
                return file.read(LARGEST_DOCUMENT + 1)
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from error


class UrlSource:
    """A web server's document."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Raises ConfigError for a URL that is not fit, or a CA file that cannot be read."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"leases-from {url!r} is no URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"leases-from {url!r} is neither a path nor an https:// URL")
        self._url = url
        self._etag = ""
        tls = parts.scheme == "https"
        self.endpoints = (Endpoint(parts.hostname, port or (443 if tls else 80), tls),)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=_tls(ca_file)),
            _NoRedirect(),
        )

    def __str__(self) -> str:
        return self._url

    @contextmanager
    def following(self) -> Iterator[None]:
        """See `ListSource`."""
        yield

    async def read(self) -> bytes | None:
        """See `ListSource`."""
        return await _in_thread(self._read)

    async def wait(self, clock: Clock) -> None:
        """See `ListSource`."""
        await clock.sleep(ASK_AGAIN)

    def _read(self) -> bytes | None:
        headers = {"Accept": "application/json", **({"If-None-Match": self._etag} if self._etag else {})}
        try:
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310, __init__ refuses other schemes
            with self._opener.open(request, timeout=PATIENCE) as reply:
                text = reply.read(LARGEST_DOCUMENT + 1)
                self._etag = reply.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            raise StoreUnavailable(f"{self._url} answers {error.code} {error.reason}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise StoreUnavailable(f"cannot read {self._url}: {reason}") from error
        return bytes(text)

    def forget(self) -> None:
        """See `ListSource`."""
        self._etag = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        raise ListRefused(f"{req.full_url} leads on to {newurl}: set leases-from to where the list stands")


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return client_context(ca_file)
    except OSError as error:
        raise ConfigError(f"leases-cafile {ca_file} cannot be used: {error.strerror or error}") from error


async def _in_thread(read: Callable[[], bytes | None]) -> bytes | None:
    done: Future[bytes | None] = Future()

    def work() -> None:
        try:
            result = read()
        except FlanpyError as error:
            done.set_exception(error)
        else:
            done.set_result(result)
        finally:
            if not done.done():
                done.set_exception(StoreUnavailable("the list's reader failed, see the log"))

    try:
        threading.Thread(target=work, name="flanpy-list", daemon=True).start()
    except RuntimeError as error:  # no more threads: the user's limit, or the service's TasksMax
        raise StoreUnavailable(f"cannot read the list: {error}; raise the limit of tasks") from error
    return await asyncio.wrap_future(done)
