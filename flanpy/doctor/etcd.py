"""Asks each etcd endpoint whether it is well, over the HTTP that etcd serves beside gRPC: no session, no credentials.

`/health` answers after a read by quorum, so it tells a member without a leader from a healthy one; `/version` names
what it runs. Each endpoint has a deadline of its own, and all are asked at once. The embedded store has no HTTP: who
takes the connection and answers otherwise is asked for its status by gRPC.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flanpy.doctor.facts import EndpointSeen
from flanpy.errors import MALFORMED, StoreError
from flanpy.store.port import ServerStatus
from flanpy.store.session import tls_files
from flanpy.store.session.settings import EtcdSettings

DEADLINE_S: Final = 3.0
_MOST: Final = 16
"""Endpoints that are asked."""
_LONGEST: Final = 65536
"""Bytes of an answer that are read."""

_FAILURES = (OSError, http.client.HTTPException, StoreError, *MALFORMED)


def endpoints(
    urls: Sequence[str], files: Mapping[str, str], deadline: float = DEADLINE_S
) -> list[EndpointSeen]:
    """One row each, in order. `files` are paths of TLS by `cafile`, `certfile`, `keyfile`."""
    found: dict[str, EndpointSeen] = {}

    def ask(url: str) -> None:
        found[url] = _asked(url, files, deadline)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in dict.fromkeys(urls[:_MOST])]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 3 * deadline
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = f"no answer within {deadline:g} s"
    return [found.get(url, EndpointSeen(url=url, problem=late)) for url in dict.fromkeys(urls[:_MOST])]


def _asked(url: str, files: Mapping[str, str], deadline: float) -> EndpointSeen:
    start = time.monotonic()
    try:
        with closing(_connection(url, files, deadline)) as connection:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            body, date = answer.read(_LONGEST), answer.getheader("Date")
            took = time.monotonic() - start
            version = _version(connection)
    except http.client.BadStatusLine as error:
        return _asked_by_grpc(url, files, deadline, start) or _sick(url, error, start)
    except TimeoutError:
        return EndpointSeen(
            url=url, problem=f"no answer within {deadline:g} s", took=time.monotonic() - start
        )
    except _FAILURES as error:
        return _sick(url, error, start)
    problem = _illness(answer.status, body)
    return EndpointSeen(url=url, problem=problem, took=took, skew=_skew(date, took), version=version)


def _sick(url: str, error: Exception, start: float) -> EndpointSeen:
    reason = " ".join(str(getattr(error, "strerror", "") or str(error) or type(error).__name__).split())
    return EndpointSeen(url=url, problem=reason, took=time.monotonic() - start)


def _asked_by_grpc(url: str, files: Mapping[str, str], deadline: float, start: float) -> EndpointSeen | None:
    """Return what the embedded store says of itself; None if that is not it."""
    import asyncio  # noqa: PLC0415, most have an etcd, and grpc takes its time to load

    from flanpy.store.session.etcd import EtcdSession  # noqa: PLC0415

    ca, cert, key = (
        Path(files[one]) if files.get(one) else None for one in ("cafile", "certfile", "keyfile")
    )
    settings = EtcdSettings((url,), ca_file=ca, cert_file=cert, key_file=key, timeout=deadline)

    async def status() -> ServerStatus:
        async with EtcdSession(settings) as session:
            return await session.status()

    try:
        said = asyncio.run(status())
    except StoreError as error:
        return _sick(url, error, start) if url.startswith("https://") else None
    problem = f"says it is not healthy: {'; '.join(said.errors)[:200]}" if said.errors else ""
    return EndpointSeen(url=url, problem=problem, took=time.monotonic() - start, version=said.version[:32])


def _version(connection: http.client.HTTPConnection) -> str:
    """Return the version as etcd tells it to everybody; "" from one that does not, as from a proxy."""
    try:
        connection.request("GET", "/version")
        said: Any = json.loads(connection.getresponse().read(_LONGEST))
    except _FAILURES:
        return ""
    version = said.get("etcdserver") if isinstance(said, dict) else None
    return version[:32] if isinstance(version, str) else ""


def _connection(url: str, files: Mapping[str, str], deadline: float) -> http.client.HTTPConnection:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 2379
    if place.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=deadline)
    from flanpy.tls import client_context  # noqa: PLC0415, many a host has etcd without TLS

    tls_files.check(
        *(Path(files[name]) if files.get(name) else None for name in ("cafile", "certfile", "keyfile"))
    )
    context = client_context(files.get("cafile") or None)
    if files.get("certfile"):
        context.load_cert_chain(files["certfile"], files.get("keyfile") or None)
    return http.client.HTTPSConnection(host, port, timeout=deadline, context=context)


def _illness(status: int, body: bytes) -> str:
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return f"answers HTTP {status} without JSON: is it etcd?"
    if not isinstance(said, dict):
        return "answers otherwise than etcd: is it etcd?"
    if str(said.get("health")).lower() == "true":
        return ""
    reason = str(said.get("reason") or said.get("error") or said.get("message") or f"HTTP {status}")
    return f"says it is not healthy: {reason[:200]}"


def _skew(date: str | None, took: float) -> float | None:
    """Of whole seconds, as HTTP's dates are."""
    if not date:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return theirs + 0.5 - (time.time() - took / 2)
