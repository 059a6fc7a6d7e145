"""A full, a read-only and a hanging disk under each file that flanpy writes: the old one stands, the error says why."""

from __future__ import annotations

import ast
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from flanpy.errors import FlanpyError
from integration.drivers.matrix.outcome import noted
from integration.faults.means.own_disks import HungDisk, hangs
from integration.hosts.daemon import PROJECT_ROOT
from integration.net.elsewhere import answer, apart, forked, within
from tests.faults.written_files import FILES, OTHERWISE, WRITERS, Written

pytestmark = pytest.mark.netns  # needs root, to mount

_WRITING_CALLS = {
    "write_text", "write_bytes", "unlink", "rename", "mkdir", "touch", "symlink_to", "ftruncate", "pwrite", "fsync",
    "mkstemp", "mkdtemp", "rmtree", "copyfile", "chmod", "fchmod",
}  # fmt: skip
_WRITING_MODES = ("'w", "'a", "'x", "'r+", "O_CREAT")
SMALL = ("-t", "tmpfs", "-o", "size=32k")


def _writes(tree: ast.AST) -> bool:
    """Report whether the module has a call, or a name of one, that changes a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _WRITING_CALLS:
            return True
        if isinstance(node, ast.Call) and _opens_to_write(node):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "atomic.write":
            return True
    return False


def _opens_to_write(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    return name == "open" and any(mode in ast.unparse(call) for mode in _WRITING_MODES)


def test_list_of_files_that_are_written_is_whole() -> None:
    found = {
        str(path.relative_to(PROJECT_ROOT))
        for path in (PROJECT_ROOT / "flanpy").rglob("*.py")
        if _writes(ast.parse(path.read_text()))
    }
    assert found == set(WRITERS)
    assert {name for name in WRITERS.values() if name not in OTHERWISE} == set(FILES)


def _files(directory: Path) -> dict[str, bytes]:
    return {
        entry.name: entry.read_bytes()
        for entry in directory.iterdir()
        if entry.is_file() and entry.name != "ballast"
    }


def _fill(directory: Path) -> None:
    with (directory / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))


@dataclass(frozen=True, slots=True)
class Refused:
    """The result of writing a second version: the error, whether the first stands, the names in the directory."""

    error: str
    same: bool
    names: list[str]


def _refused(directory: Path, file: Written, fault: str) -> dict[str, object]:
    """In a child, on a small disk of its own."""
    file.write(directory, 1)
    before, error = _files(directory), ""
    if fault == "full":
        _fill(directory)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
    try:
        file.write(directory, 2)
    except FlanpyError as refused:
        error = str(refused)
    found = _files(directory)
    return asdict(Refused(error, same=found == before, names=sorted(found)))


@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.parametrize("name", FILES)
def test_old_file_stands_and_the_error_names_it_where_the_disk_refuses(
    tmp_path: Path, name: str, fault: str
) -> None:
    file = FILES[name]
    said = apart(mounts=[[*SMALL, "small", str(tmp_path)]], work=lambda: _refused(tmp_path, file, fault))
    assert said.error == ""
    found = Refused(**said.value)
    assert bool(found.error) is (fault not in file.silent), found
    if found.error:
        assert "\n" not in found.error
        assert str(tmp_path) in found.error
        assert {"full": "No space left", "read-only": "Read-only file system"}[fault] in found.error
        assert file.cure in found.error or fault == "read-only"
    assert found.same or not file.keeps
    assert [one for one in found.names if one.startswith(".")] == []
    noted("host", f"{name} on a {fault} disk")


def _writing(disk: HungDisk, name: str, number: int) -> tuple[int, int]:
    """In a child: its pid, and where it says what came of it."""
    directory = disk.mount_point / name
    return forked(within(disk.namespace, lambda: str(FILES[name].write(directory, number))))


def test_every_file_is_whole_once_its_hanging_disk_answers_again(tmp_path: Path) -> None:
    """All at once, for each waits in a process of its own."""
    with HungDisk(tmp_path) as disk:
        for name in FILES:
            disk.path(name).mkdir()
            assert answer(*_writing(disk, name, 1)).error == "", name
        before = {name: _files(disk.path(name)) for name in FILES}
        waiting = {}
        try:
            with disk.hanging():
                waiting = {name: _writing(disk, name, 2) for name in FILES}
                for name, (child, _) in waiting.items():
                    assert hangs(child), name
                    if FILES[name].keeps:
                        assert _files(disk.path(name)) == before[name], name
        finally:
            said = {name: answer(*child) for name, child in waiting.items()}
        assert {name: one.error for name, one in said.items() if one.error} == {}
        for name in FILES:
            now = _files(disk.path(name))
            assert (now != before[name]) or name == "node-id", name
            assert [one for one in now if one.startswith(".")] == [], name
            noted("host", f"{name} on a disk that hangs")
        assert disk.path("node-id/other/node-id").read_text()
