"""The start of the one-file flanpyctl: unpacks itself once to the user's cache, then runs from there.

Must run on any Python 3, to say which one is needed.
"""

import os
import platform
import shutil
import stat
import sys
import tempfile
import zipfile

ARCHIVE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120, as old as it may be


def cache() -> str:
    """A directory of this user's own."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(home, "flanpyctl")  # noqa: PTH118


def unpacked(archive: zipfile.ZipFile, digest: str) -> str:
    """The directory it is unpacked to; of two that unpack at once one wins, and both use that.

    `su` and `sudo -E` keep XDG_CACHE_HOME of the user before: what another can write there is not run.
    """
    place = os.path.join(cache(), digest)  # noqa: PTH118
    os.makedirs(cache(), mode=0o700, exist_ok=True)  # noqa: PTH103
    refuse_others(cache())
    if not os.path.isdir(place):  # noqa: PTH112
        work = tempfile.mkdtemp(dir=cache())
        try:
            archive.extractall(work, [name for name in archive.namelist() if name.startswith("site/")])
            os.chmod(os.path.join(work, "site"), 0o700)  # noqa: PTH101, PTH118, whatever the umask
            os.rename(os.path.join(work, "site"), place)  # noqa: PTH104, PTH118
        except OSError:
            if not os.path.isdir(place):  # noqa: PTH112
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    refuse_others(place)
    return place


def refuse_others(directory: str) -> None:
    """Exits if another user owns it or may write to it, or it is a link, which another may have made."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        sys.exit(
            f"flanpyctl: {directory} is not this user's alone (uid {found.st_uid}, mode {found.st_mode & 0o7777:o}), "
            "and what is in it would be run: set XDG_CACHE_HOME to a directory of your own"
        )


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
