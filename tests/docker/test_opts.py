"""The option file is the one that flannel's mk-docker-opts writes; the texts were taken from runs of it (v0.28)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.docker.opts import write
from flanpy.docker.opts import Form, foreign_route, text, values_of
from flanpy.errors import DockerError, HostError

SUBNET = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\nFLANNEL_MTU=1472\n"
MASQ, NO_MASQ = SUBNET + "FLANNEL_IPMASQ=true\n", SUBNET + "FLANNEL_IPMASQ=false\n"
BIP, MTU = 'DOCKER_OPT_BIP="--bip=10.1.74.1/24"\n', 'DOCKER_OPT_MTU="--mtu=1472"\n'
OFF, ON = 'DOCKER_OPT_IPMASQ="--ip-masq=false"\n', 'DOCKER_OPT_IPMASQ="--ip-masq=true"\n'
ALL_OFF = '=" --bip=10.1.74.1/24 --ip-masq=false --mtu=1472"\n'
ALL_ON = '=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472"\n'
NONE: dict[str, str] = {}

CASES: list[tuple[str | None, tuple[str, ...], dict[str, str], str]] = [
    (MASQ, (), NONE, BIP + OFF + MTU + "DOCKER_OPTS" + ALL_OFF),
    (NO_MASQ, (), NONE, BIP + ON + MTU + "DOCKER_OPTS" + ALL_ON),
    ("FLANNEL_SUBNET=10.1.74.1/24\n", (), NONE, BIP + 'DOCKER_OPTS=" --bip=10.1.74.1/24"\n'),
    ("", (), NONE, 'DOCKER_OPTS=""\n'),
    (None, (), NONE, 'DOCKER_OPTS=""\n'),
    (MASQ, ("-i",), NONE, BIP + OFF + MTU),
    (MASQ, ("-c",), NONE, "DOCKER_OPTS" + ALL_OFF),
    (MASQ, ("-i", "-c"), NONE, BIP + OFF + MTU + "DOCKER_OPTS" + ALL_OFF),
    (MASQ, ("-c", "-k", "DOCKER_NETWORK_OPTIONS"), NONE, "DOCKER_NETWORK_OPTIONS" + ALL_OFF),
    (MASQ, ("-m",), NONE, BIP + MTU + 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=1472"\n'),
    (NO_MASQ, ("-c", "-m", "-k", "X"), NONE, 'X=" --bip=10.1.74.1/24 --mtu=1472"\n'),
    (MASQ, ("-c",), {"DOCKER_OPTS": "-D"}, 'DOCKER_OPTS="-D ' + ALL_OFF.removeprefix('="')),
    (
        MASQ,
        (),
        {"DOCKER_OPT_ZZ": "--debug", "DOCKER_OPT_AA": "-l"},
        'DOCKER_OPT_AA="-l"\n' + BIP + OFF + MTU + 'DOCKER_OPT_ZZ="--debug"\n'
        'DOCKER_OPTS=" -l --bip=10.1.74.1/24 --ip-masq=false --mtu=1472 --debug"\n',
    ),
    ("", ("-c",), {"DOCKER_OPT_BIP": "--bip=1.1.1.1/8"}, 'DOCKER_OPTS=" --bip=1.1.1.1/8"\n'),
    ("FLANNEL_SUBNET=10.1.74.1/24\n", ("-c",), {"FLANNEL_MTU": "99"}, 'DOCKER_OPTS=" --bip=10.1.74.1/24 --mtu=99"\n'),
]  # fmt: skip


@pytest.mark.parametrize(("env", "flags", "environ", "wanted"), CASES)
def test_opts_writes_what_flannels_script_writes(
    tmp_path: Path, env: str | None, flags: tuple[str, ...], environ: dict[str, str], wanted: str
) -> None:
    subnet_file, output = tmp_path / "subnet.env", tmp_path / "opts.env"
    if env is not None:
        subnet_file.write_text(env)
    done = subprocess.run(
        [sys.executable, "-m", "tests.docker.ctl", "docker", "opts", "-f", str(subnet_file), "-d", str(output), *flags],
        env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert output.read_text() == wanted


def test_opts_refuses_a_masquerade_that_is_neither_true_nor_false_in_flannels_words() -> None:
    with pytest.raises(DockerError, match="Invalid value of FLANNEL_IPMASQ: yes"):
        text(values_of("FLANNEL_IPMASQ=yes\n", {}), Form())


def test_opts_takes_nothing_from_the_subnet_file_but_three_values() -> None:
    """M1: the file belongs to the daemon's user, and what is written becomes flags of dockerd."""
    more = 'DOCKER_OPT_X="-H tcp://0.0.0.0:2375"\nDOCKER_OPTS=-D\nexport DOCKER_OPT_Y=1 PATH=/x\n'
    assert text(values_of(MASQ + more, {}), Form()) == text(values_of(MASQ, {}), Form())
    assert values_of(more, {"PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize("value", ["10.50.7.1/24 -H tcp://0.0.0.0:2375", "10.50.7.1", "x", "fd00::1/64"])
def test_opts_refuses_a_subnet_that_is_none(value: str) -> None:
    with pytest.raises(
        DockerError, match=r"FLANNEL_SUBNET is '.*': it must be an address with its prefix length"
    ):
        text(values_of(f'FLANNEL_SUBNET="{value}"\n', {}), Form())


@pytest.mark.parametrize(
    "value", ["1450 --debug", "-1", "0", "1e3", "99999", "9" * 5000, "\u0661\u0664\u0665\u0660"]
)
def test_opts_refuses_an_mtu_that_is_none(value: str) -> None:
    with pytest.raises(DockerError, match=r"FLANNEL_MTU is '.*': it must be a number up to 65536"):
        text(values_of(f'FLANNEL_MTU="{value}"\n', {}), Form())


@pytest.mark.parametrize("key", ["", "A B", "1X", "A=B", "$(x)"])
def test_opts_refuses_a_key_that_is_no_variable(key: str) -> None:
    with pytest.raises(DockerError, match="cannot be a variable"):
        text({}, Form(key=key))


def test_opts_replaces_the_file_in_one_step_and_writes_to_devices(tmp_path: Path) -> None:
    path = tmp_path / "opts.env"
    path.write_text("old")
    inode = path.stat().st_ino
    write(path, "new\n")
    assert (path.read_text(), path.stat().st_ino == inode) == ("new\n", False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["opts.env"]
    write(Path("/dev/null"), "new\n")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(DockerError, match="name another file"):
        write(tmp_path / "gone" / "opts.env", "new\n")


def test_opts_waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DockerError, match="No such device or address; name another file"):
        write(tmp_path / "pipe", "new\n")


@pytest.mark.netns
def test_opts_follows_no_link_of_another_user_and_writes_to_no_directory_of_one(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("root's")
    (tmp_path / "opts.env").symlink_to(precious)
    os.chown(tmp_path / "opts.env", 65534, 65534, follow_symlinks=False)
    with pytest.raises(HostError, match="a symbolic link of another user"):
        write(tmp_path / "opts.env", "new\n")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(CommandError, match=r"belongs to another user \(uid 65534\), who could change"):
        write(theirs / "opts.env", "new\n")
    assert (precious.read_text(), list(theirs.iterdir())) == ("root's", [])


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t004A010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
{more}"""


def test_opts_finds_a_route_that_takes_the_subnet_away() -> None:
    values = {"FLANNEL_SUBNET": "10.1.74.1/24"}
    assert foreign_route(values, ROUTES.format(more="")) == ""
    away = "eth1\t004A010A\t0101010A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    assert foreign_route(values, ROUTES.format(more=away)) == "10.1.74.0/24 via 10.1.1.1 dev eth1"
    assert foreign_route({}, ROUTES.format(more=away)) == ""
