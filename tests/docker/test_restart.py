"""The conditions for a restart of Docker, and the run of the operator's command."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.docker.facts import DockerFacts
from flanpy.docker.restart import Choice, How, RestartPolicy, choose, restart
from flanpy.errors import DockerError
from tests.docker.values import running

NEVER, IDLE, ALWAYS = RestartPolicy.NEVER, RestartPolicy.IF_IDLE, RestartPolicy.ALWAYS


@pytest.mark.parametrize(
    ("docker", "policy", "needed", "choice"),
    [
        (None, ALWAYS, False, Choice.NOT_RUNNING),
        (running(), ALWAYS, False, Choice.NOT_NEEDED),
        (running(), NEVER, True, Choice.BY_POLICY),
        (running(), IDLE, True, Choice.RESTART),
        (running(running=1), IDLE, True, Choice.BY_POLICY),
        (running(running=1), ALWAYS, True, Choice.RESTART),
        (running(live_restore=True), IDLE, True, Choice.RESTART),
        (running(running=1, live_restore=True), IDLE, True, Choice.VOID),
        (running(running=1, live_restore=True), ALWAYS, True, Choice.VOID),
        (running(running=1, live_restore=True), NEVER, True, Choice.BY_POLICY),
    ],
)
def test_restart_is_chosen(
    docker: DockerFacts | None, policy: RestartPolicy, needed: bool, choice: Choice
) -> None:
    assert choose(docker, policy, needed=needed) is choice


@given(st.integers(0, 3), st.booleans(), st.sampled_from(RestartPolicy), st.booleans())
def test_restart_never_stops_containers_unless_always_is_said(
    containers: int, live: bool, policy: RestartPolicy, needed: bool
) -> None:
    chosen = choose(running(running=containers, live_restore=live), policy, needed=needed)
    if chosen is Choice.RESTART:
        assert needed
        assert policy is ALWAYS or containers == 0
        assert containers == 0 or not live


def test_command_is_run_without_a_shell_and_its_last_line_is_passed_on() -> None:
    restart(How("true ; false", 60))  # one program with two words
    with pytest.raises(DockerError, match="ended with 3: no luck"):
        restart(How(f"{sys.executable} -c \"print('no luck'); raise SystemExit(3)\"", 60))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "is empty"),
        ("/nonexistent/restart", "correct --docker-restart-command"),
        ("sleep 600", "did not end in 0.2 s"),
    ],
)
def test_command_that_cannot_be_run_or_does_not_end_is_named(command: str, words: str) -> None:
    with pytest.raises(DockerError, match=words):
        restart(How(command, 0.2))


def test_command_whose_quotes_do_not_close_is_refused_in_words() -> None:
    with pytest.raises(DockerError, match="docker-restart-command"):
        restart(How("sh -c 'systemctl", 60))


@pytest.mark.parametrize(
    ("name", "ran"), [("systemctl", ["reset-failed docker", "restart docker"]), ("rc", ["restart docker"])]
)
def test_systemd_is_told_to_forget_failures_before_it_restarts_docker(
    tmp_path: Path, name: str, ran: list[str]
) -> None:
    program, log = tmp_path / name, tmp_path / "log"
    program.write_text(f'#!/bin/sh\necho "$@" >>{log}\n[ "$1" = restart ]\n')
    program.chmod(0o755)
    restart(How(f"{program} restart docker", 60))
    assert log.read_text().splitlines() == ran


def test_command_reads_nothing_of_ours_and_its_errors_are_passed_on_whatever_their_bytes() -> None:
    silent, talking = os.pipe()
    own = os.dup(0)
    os.dup2(silent, 0)
    code = "import sys; sys.stdin.read(); sys.stderr.buffer.write(b'no \\xff luck'); sys.exit(3)"
    try:
        with pytest.raises(DockerError, match="ended with 3: no \ufffd luck"):
            restart(How(shlex.join([sys.executable, "-c", code]), 10))
    finally:
        os.dup2(own, 0)
        for one in (own, silent, talking):
            os.close(one)
