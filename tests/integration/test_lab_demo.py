"""`make demo` comes out as promised, and says where it failed when it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from integration.drivers.demo import run_demo
from integration.lab import Lab
from integration.net import namespaces

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

ROOT = Path(__file__).parents[2]


def _demo(**env: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as `make demo` does."""
    return subprocess.run(
        [sys.executable, "-m", "integration", "demo"],
        capture_output=True, text=True, cwd=ROOT, timeout=110, check=False, env={**os.environ, **env},
    )  # fmt: skip


def _labs(said: str) -> set[str]:
    return set(re.findall(r"namespace (fp\d+-)", said))


def test_p11_p17_demo_shows_every_step_and_cleans_up() -> None:
    done = _demo()

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done in") == 9
    assert "All 9 steps came out as they must." in done.stdout
    assert re.search(r"ping -c 1 db .*\n +64 bytes from 10\.96\.\d+\.\d+: ", done.stdout)
    assert "\x1b[" not in done.stdout
    assert [namespaces.names_with(lab) for lab in _labs(done.stdout)] == [[]]


def test_demo_names_the_step_and_shows_the_log_when_a_daemon_does_not_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lab = Lab(hosts=3, program=("sh", "-c", "echo no etcd in sight; exit 3"))
    code = run_demo(lab, keep=False)

    said = capsys.readouterr().out
    assert code == 1
    assert "FAILED at step 3, Start three flanpyd at once" in said
    assert re.search(r"h1/daemon\.log \(last \d+ lines\)\n +no etcd in sight", said)
    assert [namespaces.names_with(prefix) for prefix in _labs(said)] == [[]]


def test_demo_is_left_up_when_asked_and_says_how_to_look_around() -> None:
    done = _demo(KEEP="1")
    [lab] = _labs(done.stdout)
    number = lab.removeprefix("fp").removesuffix("-")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        shown = re.findall(r"^  (\S+ -m integration exec .*)$", done.stdout, flags=re.MULTILINE)
        assert len(shown) == 3
        for command in shown:
            said = subprocess.run(
                command.split(), capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
            )
            assert said.returncode == 0, command + said.stdout + said.stderr
    finally:
        down = [sys.executable, "-m", "integration", "down", number]
        subprocess.run(down, cwd=ROOT, check=True, timeout=30, capture_output=True)
    assert namespaces.names_with(lab) == []
