"""Opens the page's port as the settings ask: plain on loopback, with TLS and a token where the network reaches it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from flanpy.clock import Clock
from flanpy.config.settings import PageOptions
from flanpy.errors import HostError
from flanpy.page.app import page_app
from flanpy.page.gate import PageGate, read_token
from flanpy.page.stream import Feed
from flanpy.status.http.server import serve_tcp


def start(options: PageOptions, feed: Feed, clock: Clock) -> Callable[[], Awaitable[web.AppRunner]]:
    """Return a function that starts listening when called; it raises HostError naming the address or file."""

    async def listen() -> web.AppRunner:
        address = options.listen
        assert address is not None
        tls, token = await asyncio.to_thread(_secrets, options)
        gate = PageGate(loopback=address.host.is_loopback, token=token)
        app = page_app(gate, feed, clock, encrypted=tls is not None)
        return await serve_tcp(app, str(address.host), address.port, tls=tls, ends_with_client=True)

    return listen


def _secrets(options: PageOptions) -> tuple[ssl.SSLContext | None, str]:
    """Read the files at each attempt, so that a corrected file needs no restart."""
    token = read_token(options.token_file) if options.token_file is not None else ""
    if options.cert is None or options.key is None:
        return None, token
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        tls.load_cert_chain(options.cert, options.key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise HostError(
            f"cannot use page-cert {options.cert} with page-key {options.key}: {reason}; expected PEM"
        ) from error
    return tls, token
