"""Links under the names of our files: those of root and of ourselves are followed, those of others are not."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanpy.errors import HostError
from flanpy.files import atomic
from flanpy.files.links import followed

SERVICE_USER = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fplinks-"))
    yield path
    shutil.rmtree(path)


def test_link_of_ours_is_followed_over_several_steps_also_to_what_is_not_there_yet(place: Path) -> None:
    (place / "one").symlink_to("two")
    (place / "two").symlink_to(place / "three")
    assert followed(place / "one") == place / "three"
    assert atomic.write(place / "one", b"text")
    assert ((place / "three").read_bytes(), (place / "one").is_symlink()) == (b"text", True)
    assert atomic.read(place / "one", 100) == b"text"


def test_links_in_a_circle_are_an_error(place: Path) -> None:
    (place / "one").symlink_to("two")
    (place / "two").symlink_to("one")
    with pytest.raises(OSError, match="Too many levels") as refused:
        followed(place / "one")
    assert refused.value.errno == errno.ELOOP


@pytest.mark.netns
def test_link_of_another_user_is_refused_by_readers_and_writers(place: Path) -> None:
    target = place / "precious"
    target.write_text("root's")
    link = place / "link"
    link.symlink_to(target)
    os.chown(link, SERVICE_USER, SERVICE_USER, follow_symlinks=False)
    with pytest.raises(OSError, match=r"a symbolic link of another user \(uid 65534\)"):
        atomic.read(link, 100)
    with pytest.raises(HostError, match=r"cannot write '.*link': a symbolic link of another user .*; remove"):
        atomic.write(link, b"theirs")
    assert target.read_text() == "root's"
