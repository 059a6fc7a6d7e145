"""A lab leaves no namespace, no file and no program behind, however it ends, and never disturbs another lab."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.lab import Lab, wait_until
from integration.net import claim, namespaces

pytestmark = [pytest.mark.netns, pytest.mark.etcd]

ROOT = Path(__file__).parents[2]
HANDMADE = ("sh", str(ROOT / "integration" / "handmade_vxlan.sh"))
OWNER = """
import json, signal, sys
from integration.lab import Lab
from integration.net import namespaces
with Lab(hosts=2, program=sys.argv[1:]) as lab:
    lab.configure(); lab.start_daemons(); lab.attach_containers()
    names = namespaces.names_with(lab.plan.prefix)
    print(json.dumps({"number": lab.number, "directory": str(lab.directory), "namespaces": names,
                      "pids": namespaces.pids_in(names)}), flush=True)
    signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces that a lab had while it was up."""

    number: int
    directory: str
    namespaces: Sequence[str]
    pids: Sequence[int]

    def left(self) -> list[str]:
        """Return the traces that are still there."""
        names = [name for name in self.namespaces if (namespaces.NETNS_DIR / name).exists()]
        pids = [f"pid {pid}" for pid in self.pids if _lives(pid)]
        return names + pids + ([self.directory] if Path(self.directory).exists() else [])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _traces(lab: Lab) -> Traces:
    names = namespaces.names_with(lab.plan.prefix)
    return Traces(lab.number, str(lab.directory), names, namespaces.pids_in(names))


def test_lab_leaves_no_trace_when_closed() -> None:
    with Lab(hosts=2, program=HANDMADE) as lab:
        lab.start_daemons()
        lab.attach_containers()
        traces = _traces(lab)

    assert len(traces.namespaces) == 6  # switch, etcd, two hosts, two containers
    assert len(traces.pids) == 3  # etcd and two daemons
    assert traces.left() == []


def test_lab_leaves_no_trace_when_its_block_raises() -> None:
    traces: list[Traces] = []

    def fail() -> None:
        with Lab(hosts=1, program=HANDMADE) as lab:
            lab.start_daemons()
            traces.append(_traces(lab))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert traces[0].left() == []


def test_lab_leaves_no_trace_when_it_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration.hosts.lab.HOST_SYSCTLS", {"net/no/such/key": "1"})

    with pytest.raises(FileNotFoundError):
        Lab(hosts=1, program=HANDMADE).start()
    assert [number for number in claim.numbers() if claim.owner_of(number) == os.getpid()] == []


@contextlib.contextmanager
def _owner() -> Iterator[subprocess.Popen[str]]:
    """Another program that builds a lab, prints its traces and waits."""
    argv = [sys.executable, "-c", OWNER, *HANDMADE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        try:
            yield owner
        finally:
            owner.kill()


def _owned_traces(owner: subprocess.Popen[str]) -> Traces:
    assert owner.stdout is not None
    return Traces(**json.loads(owner.stdout.readline()))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda s: str(s.name))
def test_lab_leaves_no_trace_when_its_owner_is_ended(ending: signal.Signals) -> None:
    with _owner() as owner:
        traces = _owned_traces(owner)
        assert len(traces.left()) > len(traces.pids) > 0
        owner.send_signal(ending)
        wait_until(lambda: traces.left() == [], "no trace is left", deadline=15)


def test_lab_leaves_no_trace_when_its_owner_is_ended_while_building() -> None:
    with _owner() as owner:
        wait_until(lambda: _owned_namespaces(owner.pid) != [], "a first namespace", deadline=10, poll=0.001)
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(timeout=15) == 128 + signal.SIGTERM
        assert _owned_namespaces(owner.pid) == []


def _owned_namespaces(owner: int) -> list[str]:
    mine = [number for number in claim.numbers() if claim.owner_of(number) == owner]
    return [name for number in mine for name in namespaces.names_with(f"fp{number}-")]


def test_lab_of_a_dead_owner_is_swept_even_when_its_warden_is_dead_too() -> None:
    with _owner() as owner:
        traces = _owned_traces(owner)
        for child in _children(owner.pid):
            if "integration sweep" in Path(f"/proc/{child}/cmdline").read_text().replace("\0", " "):
                os.kill(child, signal.SIGKILL)
        owner.kill()
        owner.wait(timeout=5)
        claim.sweep()
        assert traces.left() == []


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_sweep_leaves_the_labs_of_the_living_alone() -> None:
    with Lab(hosts=1, program=HANDMADE) as lab:
        assert lab.number not in claim.sweep()
        assert lab.etcd.api.put("/alive", "yes") > 0


def test_two_labs_at_once_do_not_disturb_each_other() -> None:
    with Lab(hosts=2, program=HANDMADE) as first, Lab(hosts=2, program=HANDMADE) as second:
        for lab in (first, second):
            lab.configure(network=f"10.{lab.number % 200}.0.0/16")
            lab.start_daemons()
        one, two = first.attach_containers()
        three, four = second.attach_containers()
        assert first.number != second.number
        assert first.etcd.api.get("/coreos.com/network/config") != second.etcd.api.get(
            "/coreos.com/network/config"
        )
        with second.faults.silence(second.hosts[0]):
            assert one.ping(two).ok
            assert not three.ping(four).ok
        first.close()
        assert three.ping(four).ok


def test_lab_is_built_used_and_removed_by_command() -> None:
    def command(*words: str) -> str:
        argv = [sys.executable, "-m", "integration", *words]
        return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60).stdout

    said = command("up", "--hosts", "2", "--program", " ".join(HANDMADE))
    number = said.partition(":")[0].removeprefix("lab ")
    try:
        assert f"fp{number}-h1c1" in command("status")
        assert "10.50.2.0/24 via 10.50.2.0 dev flannel.1" in command(
            "exec", "--lab", number, "h1", "ip", "route"
        )
        assert "1 received" in command("exec", "--lab", number, "h1c1", "ping", "-c1", "10.50.2.2")
    finally:
        assert f"lab {number} removed" in command("down", number)
    assert namespaces.names_with(f"fp{number}-") == []
