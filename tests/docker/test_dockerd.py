"""The dockerd of this host as a program: its unit, its flags, and what it thinks of a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flanpy.docker import dockerd
from flanpy.docker.dockerd import Started, refuse_conflicts, refuse_unusable
from flanpy.docker.unit import unit_command
from flanpy.errors import DockerConflict, DockerError

KEYS = ("bip", "mtu")
FILE = Path("/etc/docker/daemon.json")

DEBIAN = """\
# /lib/systemd/system/docker.service
[Unit]
Description=Docker Application Container Engine
[Service]
Type=notify
EnvironmentFile=-{file}
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS
# /etc/systemd/system/docker.service.d/network.conf
[Service]
Environment="DOCKER_NET=--mtu=1400 --ip-masq=false" OTHER=x
; a comment
ExecStart=
ExecStart=-/usr/sbin/dockerd -H fd:// \\
    $DOCKER_OPTS $DOCKER_NET --label ${{OTHER}} "--log-level=info"
"""


def test_unit_is_read_with_its_drop_ins_variables_and_continued_lines(tmp_path: Path) -> None:
    file = tmp_path / "docker"
    file.write_text("# comment\nDOCKER_OPTS='--bip=10.1.1.1/24'\n")
    words, where = unit_command(DEBIAN.format(file=file))
    assert words == (
        "/usr/sbin/dockerd", "-H", "fd://", "--bip=10.1.1.1/24", "--mtu=1400", "--ip-masq=false", "--label", "x",
        "--log-level=info",
    )  # fmt: skip
    assert where == f"/etc/systemd/system/docker.service.d/network.conf and {file}"


def test_unit_without_its_environment_file_is_read_all_the_same(tmp_path: Path) -> None:
    words, _ = unit_command(DEBIAN.format(file=tmp_path / "gone"))
    assert words[:4] == ("/usr/sbin/dockerd", "-H", "fd://", "--mtu=1400")
    assert unit_command("") == ((), "")
    assert unit_command("[Service]\nExecStart=/usr/bin/dockerd 'unclosed\n")[0] == ()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--bip=10.1.1.1/24",), "--bip"),
        (("--bip", "10.1.1.1/24"), "--bip"),
        (("-mtu=1400",), "--mtu"),
        (("-H", "fd://", "--mtu", "1400"), "--mtu"),
        (("-b", "br0"), "--bridge"),
        (("--bridge=br0",), "--bridge"),
        (("--config-file=/etc/other.json",), "/etc/other.json"),
        (("--config-file", "/etc/other.json"), "/etc/other.json"),
    ],
)
def test_flags_that_do_not_go_with_our_keys_are_refused_by_name(flags: tuple[str, ...], named: str) -> None:
    with pytest.raises(DockerConflict) as refused:
        refuse_conflicts(Started(("dockerd", *flags), "/etc/default/docker"), KEYS, FILE)
    assert named in str(refused.value)
    assert "/etc/default/docker has" in str(refused.value)


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-H", "fd://"),
        ("--ip-masq=false",),
        ("--label", "bip"),
        ("--config-file=/etc/docker/daemon.json",),
        ("--config-file", "/etc/docker/daemon.json"),
        ("--bip-like=1",),
    ],
)
def test_other_flags_are_let_be(flags: tuple[str, ...]) -> None:
    refuse_conflicts(Started(("dockerd", *flags), "the unit"), KEYS, FILE)


def test_pid_file_of_a_process_that_is_no_dockerd_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "docker.pid"
    for text in (str(os.getpid()), "0", "", "junk", "99999999"):
        file.write_text(text)
        assert dockerd.pid_by_file({"pidfile": str(file)}) in {None, dockerd.pid_by_file({})}
    assert dockerd.pid_by_file({"pidfile": 5}) == dockerd.pid_by_file({})


installed = pytest.mark.skipif(
    shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None, reason="no dockerd here"
)
REAL = (
    Started(("dockerd",), "the tests")
    if shutil.which("dockerd")
    else Started(("/usr/sbin/dockerd",), "the tests")
)


@installed
@pytest.mark.netns
@pytest.mark.parametrize(
    "content", [b"{}", b'{"bip": "10.50.7.1/24", "mtu": 1450, "ip-masq": false, "live-restore": true}']
)
def test_dockerd_itself_takes_a_good_file_and_starts_nothing(content: bytes) -> None:
    before = set(Path("/run").glob("*docker*"))
    assert refuse_unusable(REAL, content) == ""
    assert set(Path("/run").glob("*docker*")) == before


@installed
@pytest.mark.netns
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b'{"bip": 5}', "bip"),
        (b'{"hosts": "unix:///x"}', "hosts"),
        (b'{"live-restore": "yes"}', "restore"),
        (b'{"no-such-key": 1}', "no-such-key"),
        (b'{"debug": true', "configur"),
    ],
)
def test_dockerd_itself_refuses_a_bad_file_and_we_pass_its_words_on(content: bytes, word: str) -> None:
    with pytest.raises(DockerError, match="would not start with this file") as refused:
        refuse_unusable(REAL, content)
    assert word in str(refused.value).lower()
    assert "/proc/self/fd" not in str(refused.value)


@installed
@pytest.mark.netns
def test_dockerd_itself_judges_the_file_beside_its_flags() -> None:
    how = Started((*REAL.argv, "--bip=10.1.1.1/24", "--config-file", "/etc/other.json"), "the tests")
    with pytest.raises(DockerError, match="both as a flag and in the configuration file: bip"):
        refuse_unusable(how, b'{"bip": "10.50.7.1/24"}')


@pytest.mark.parametrize("program", ["/nonexistent/dockerd", "/bin/true", "/bin/false"])
def test_program_that_says_nothing_useful_does_not_stand_in_the_way(program: str) -> None:
    said = refuse_unusable(Started((program,), "the tests"), b"{}")
    assert (said == "") == (program == "/bin/true")
