"""Standard streams that are full, closed or of a poor encoding, under both programs as they are installed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
COMMANDS = (
    "flanpyctl version",
    "flanpyctl --help",
    "flanpyctl network show --help",
    "flanpyctl config show -o json",
    "flanpyctl completion bash",
    "flanpyd --help",
    "flanpyd --version",
)
REASONS = {">/dev/full": "No space left on device", ">&-": "Bad file descriptor"}


def run(command: str, streams: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"exec {BIN}/{command} {streams}"],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("streams", REASONS)
@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_one_line_and_a_failure(command: str, streams: str) -> None:
    done = run(command, streams)
    program = command.partition(" ")[0]
    assert done.stderr.splitlines()[-1] == f"{program}: cannot write to standard output: {REASONS[streams]}"
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "2>&- <&-"])
def test_errors_that_cannot_be_written_leave_output_and_exit_code_as_they_are(streams: str) -> None:
    assert run("flanpyctl version", streams).stdout.startswith("flanpyctl ")
    wrong = run("flanpyctl nonsense", streams)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert run("flanpyd --nonsense", streams).returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["узел", "n\u00f6de", "\U0001f980", "VPN\udcb1"])
def test_text_that_the_encoding_lacks_is_escaped_as_json_reads_it(encoding: str, name: str) -> None:
    code = (
        "import sys, json; from flanpy import streams; streams.prepare();"
        f"from flanpy.cli.base.output import print_json; print_json({name!a});"
        "print('after'); sys.stdout.flush()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, timeout=60, check=True, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    first, second = done.stdout.decode(encoding).splitlines()
    assert json.loads(first) == name
    assert second == "after"


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_daemon_without_a_place_for_its_log_goes_on(streams: str, tmp_path: Path) -> None:
    """It opens its control socket, which it does not get the number of a closed stream for."""
    path = tmp_path / "run" / "flanpyd.sock"
    own = f"--run-dir={path.parent} --state-dir={tmp_path / 'state'} --subnet-file={tmp_path / 'subnet.env'}"
    command = f"flanpyd {own} --page-listen=off --etcd-endpoints=http://127.0.0.1:1"
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", f"ip link set lo up; exec {BIN}/{command} {streams}"]
    )
    try:
        answered = False
        while not answered:
            assert process.poll() is None
            with socket.socket(socket.AF_UNIX) as control:
                answered = control.connect_ex(str(path)) == 0
            os.sched_yield()
        targets = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in (0, 1, 2)]
        assert not [target for target in targets if target.startswith(("socket:", "anon_inode:"))]
    finally:
        process.terminate()
        assert process.wait(30) == 0
