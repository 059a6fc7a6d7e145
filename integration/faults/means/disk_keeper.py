"""Owns one mounted image and whether it is frozen: `unshare --mount python disk_keeper.py IMAGE MOUNT_POINT`.

It obeys the words `freeze` and `thaw`, one a line (fsfreeze(8)), and answers each when it is done. At the end of its
input the disk is thawed: a process that waits for it could not even be killed. It must not import anything of the
project."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import suppress
from typing import Final

_FREEZE: Final = 0xC0045877
_THAW: Final = 0xC0045878


def main(image: str, mount_point: str) -> None:
    """Until standard input ends."""
    subprocess.run(["mount", "-o", "loop,noatime", image, mount_point], check=True)
    root = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        print("mounted", flush=True)
        for line in sys.stdin:
            match line.strip():
                case "freeze":
                    fcntl.ioctl(root, _FREEZE, 0)
                    print("frozen", flush=True)
                case "thaw":
                    fcntl.ioctl(root, _THAW, 0)
                    print("thawed", flush=True)
    finally:
        with suppress(OSError):  # it was not frozen
            fcntl.ioctl(root, _THAW, 0)


if __name__ == "__main__":
    main(*sys.argv[1:3])
