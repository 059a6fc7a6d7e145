"""The start of the one-file flanpyctl: unpacks itself once to the user's cache, then runs from there.

Must run on any Python 3, to say which one is needed.
"""

import os
import platform
import shutil
import sys
import tempfile
import zipfile

ARCHIVE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120, as old as it may be


def cache() -> str:
    """A directory of this user's own."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(home, "flanpyctl")  # noqa: PTH118


def unpacked(archive: zipfile.ZipFile, digest: str) -> str:
    """The directory it is unpacked to; of two that unpack at once one wins, and both use that."""
    place = os.path.join(cache(), digest)  # noqa: PTH118
    if not os.path.isdir(place):  # noqa: PTH112
        os.makedirs(cache(), mode=0o700, exist_ok=True)  # noqa: PTH103
        work = tempfile.mkdtemp(dir=cache())
        try:
            archive.extractall(work, [name for name in archive.namelist() if name.startswith("site/")])
            os.rename(os.path.join(work, "site"), place)  # noqa: PTH104, PTH118
        except OSError:
            if not os.path.isdir(place):  # noqa: PTH112
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


def start() -> None:
    with zipfile.ZipFile(ARCHIVE) as archive:
        major, minor, machine, digest = archive.read("MADE_FOR").decode().split()
        if (str(sys.version_info[0]), str(sys.version_info[1]), platform.machine()) != (
            major,
            minor,
            machine,
        ):
            needed = f"python{major}.{minor}"
            sys.exit(
                f"flanpyctl: this file needs {needed} on {machine}: run it with that, or install the package"
            )
        try:
            sys.path[0] = unpacked(archive, digest)
        except OSError as error:
            sys.exit(f"flanpyctl: cannot unpack to {cache()}: {error.strerror}; set XDG_CACHE_HOME")
    from flanpy.cli.main import main  # noqa: PLC0415, what it is imported from is settled only now

    sys.argv[0] = "flanpyctl"
    main()


start()
