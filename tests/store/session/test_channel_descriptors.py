"""Without file descriptors no channel is opened: grpc would abort the process for want of a poller."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, resource
from flanpy.errors import StoreUnavailable
from flanpy.store.session.channel import open_channel
from flanpy.store.session.settings import EtcdSettings, parse_endpoints

async def main():
    settings = EtcdSettings(endpoints=("http://127.0.0.1:1",))
    (endpoint,) = parse_endpoints(settings)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, before[1]))
    try:
        open_channel(endpoint, settings)
    except StoreUnavailable as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    await open_channel(endpoint, settings).close()
    print("opened")

asyncio.run(main())
"""


def test_channel_is_refused_in_one_line_while_no_descriptor_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    refused, opened = done.stdout.splitlines() or ("", done.stderr)
    assert "no file descriptor is left (Too many open files): raise LimitNOFILE" in refused, done.stderr
    assert (opened, done.returncode) == ("opened", 0)
