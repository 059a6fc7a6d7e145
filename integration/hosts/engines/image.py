"""Owns the one image the tests run: busybox, packed from the system's static binary, since no registry is reached."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile

from integration.net.namespaces import LabError

IMAGE = "busybox"
_DIRECTORIES = ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var", "www", "www/cgi-bin")
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": b"root:x:0:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
    "www/cgi-bin/whoami": b"""#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s %s' "$(hostname)" "$REMOTE_ADDR"
""",
}
SERVE = ("httpd", "-f", "-p", "80", "-h", "/www")
"""A container's command: /cgi-bin/whoami says the container's name for itself and the client's address."""


@functools.cache
def busybox_tar() -> bytes:
    """The image's only layer, as `docker import` takes it."""
    binary = shutil.which("busybox", path="/bin:/usr/bin")
    if binary is None:
        raise LabError("no busybox here: run `make setup`")
    applets = subprocess.run(
        [binary, "--list"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in _DIRECTORIES:
            tar.addfile(_entry(name, tarfile.DIRTYPE))
        for name, content in _FILES.items():
            tar.addfile(_entry(name, tarfile.REGTYPE, size=len(content)), io.BytesIO(content))
        tar.add(binary, "bin/busybox")
        for applet in set(applets) - {"busybox"}:
            tar.addfile(_entry(f"bin/{applet}", tarfile.SYMTYPE, target="busybox"))
    return packed.getvalue()


def _entry(name: str, kind: bytes, *, size: int = 0, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, target
    entry.mode = 0o755
    return entry
