"""The harness itself: engines start, die and hang as told, and nothing of a lab is left on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.hosts.engines import DockerLab
from integration.lab import LabError
from integration.net import namespaces
from integration.net.claim import PROJECT_ROOT
from tests.engines.conftest import BuildDockerLab
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

UNTIL_KILLED = """
import time
from integration.hosts.engines import DockerLab
with DockerLab(1) as lab:
    engine = lab.hosts[0].engine
    engine.start()
    engine.run_container("box", "-p", "8080:80")
    print(lab.number, lab.directory, flush=True)
    time.sleep(1000)
"""
CGROUPS = Path("/sys/fs/cgroup")


def traces(number: int, directory: Path) -> list[str]:
    """Return the traces of a lab that are still on the machine, as words."""
    prefix = f"fp{number}-"
    cgroups = [str(path) for path in (*CGROUPS.glob(f"{prefix}*"), *CGROUPS.glob(f"*/{prefix}*"))]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]
    files = [str(directory)] if directory.exists() else []
    return cgroups + mounts + files + namespaces.names_with(prefix) + _processes(str(directory))


def _processes(words: str) -> list[str]:
    """Every process whose command line, mounts or cgroup name the lab's directory; containers' among them."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        for view in ("cmdline", "mountinfo"):
            try:
                text = (place / view).read_text(errors="replace")
            except OSError:  # ended meanwhile
                continue
            if words in text:
                found.append(f"{place.name} {view}")
    return found


def machine() -> list[str]:
    """The parts of the machine that a Docker engine would change were it not shut in."""
    commands = (
        "iptables-save",
        "iptables-legacy-save",
        "nft list ruleset",
        "ip -br link",
        "sysctl net.ipv4.ip_forward",
    )
    said = [
        subprocess.run(line.split(), capture_output=True, text=True, check=True).stdout for line in commands
    ]
    names = ("/etc/docker", "/run/docker.sock", "/run/docker", "/var/lib/docker", "/sys/class/net/docker0")
    places = [Path(name) for name in names]
    listed = [sorted(map(str, place.iterdir())) if place.is_dir() else place.exists() for place in places]
    return [_without_counters(text) for text in said] + [str(listed)]


def _without_counters(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))


def test_engine_lab_leaves_nothing_and_touches_nothing_of_the_machine() -> None:
    before = machine()
    with DockerLab(1) as lab:
        number, directory = lab.number, lab.directory
        engine = lab.hosts[0].engine
        engine.start(bip="10.50.9.1/24")
        box = engine.run_container("box", "-p", "8080:80")
        assert engine.bridge_network()[0] == "10.50.9.0/24"
        assert box.address() == "10.50.9.2"
        assert traces(number, directory)
    assert traces(number, directory) == []
    assert machine() == before


def test_engine_lab_is_removed_when_its_owner_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", UNTIL_KILLED], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
    )
    assert owner.stdout is not None
    number, directory = owner.stdout.readline().split()
    assert traces(int(number), Path(directory))

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    eventually(
        lambda: not traces(int(number), Path(directory)),
        lambda: traces(int(number), Path(directory)),
        deadline=15,
    )


def test_engine_dies_hangs_and_comes_back_as_told(build_lab: BuildDockerLab) -> None:
    engine = build_lab(1).hosts[0].engine
    engine.start(daemon_json={"live-restore": True})
    box = engine.run_container("box")
    address = box.address()

    engine.kill()
    assert not engine.running
    engine.start()
    engine.freeze()
    with pytest.raises(LabError, match="no end"):
        engine.docker("ps", timeout=1)
    engine.thaw()

    assert box.address() == address
    assert box.exec("hostname", "-i").stdout.strip() == address


def test_engine_that_will_not_start_says_why(build_lab: BuildDockerLab) -> None:
    engine = build_lab(1).hosts[0].engine

    with pytest.raises(LabError, match="no-such-key"):
        engine.start(daemon_json={"no-such-key": True})
    engine.configure({})
    engine.start()

    assert engine.docker("ps", "-q").stdout == ""
