"""The start and the end of flanpyd: exit codes, and one line that names thing, value and cure when it refuses
to start."""

from __future__ import annotations

import signal
import stat
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from integration.hosts.daemon import HEALTHZ_PORT, METRICS_PORT
from integration.lab import Host, Lab, flanpyctl
from tests.lab.daemon_side import kernel_state, run_flanpyd
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


def _assert_refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done
    assert lines[0].startswith("flanpyd: ")
    assert [part for part in parts if part not in lines[0]] == []
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("flag", "parts"),
    [
        ("--etcd-endpoint=http://x", ("'--etcd-endpoint'", "did you mean", "--etcd-endpoints")),
        ("--healthz-port=70000", ("healthz-port", "'70000'", "0 to 65535")),
        ("--public-ip=127.0.0.1", ("public-ip", "'127.0.0.1'", "other hosts can reach")),
        ("stray", ("unexpected argument 'stray'",)),
        ("--subnet-lease-renew-margin=soon", ("subnet-lease-renew-margin", "'soon'", "15m")),
    ],
)
def test_flanpyd_exits_2_with_one_line_when_a_flag_is_wrong(
    lab: Lab, flag: str, parts: tuple[str, ...]
) -> None:
    _assert_refused(run_flanpyd(lab.hosts[0], flag), 2, *parts)


@pytest.mark.parametrize(
    ("env", "parts"),
    [
        ({"FLANPYD_NODEID": "x"}, ("'FLANPYD_NODEID'", "did you mean 'FLANPYD_NODE_ID'")),
        ({"FLANPYD_NODE_ID": "a b"}, ("FLANPYD_NODE_ID", "'a b'", "letters")),
        ({"FLANNELD_IP_MASQ": "maybe"}, ("FLANNELD_IP_MASQ", "'maybe'", "true or false")),
        ({"FLANPYD_CONFIG": "/nowhere/x.toml"}, ("'/nowhere/x.toml'", "does not exist")),
        ({"FLANPYD_RUN_DIR": "/tmp/" + "r" * 100}, ("run-dir", "too long", "80")),
        ({"FLANPYD_ETCD_CAFILE": "/etc/hostname"}, ("etcd-cafile /etc/hostname", "https://")),
    ],
)
def test_flanpyd_exits_78_with_one_line_when_the_environment_is_wrong(
    lab: Lab, env: dict[str, str], parts: tuple[str, ...]
) -> None:
    _assert_refused(run_flanpyd(lab.hosts[0], env=env), 78, *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("iptables-resync = true", ("f.toml:1", "iptables-resync takes a whole number or a number")),
        ("\n[etcd]\nusername = 5", ("f.toml:3", "etcd-username takes a string", "5")),
        ("log-levle = 'info'", ("f.toml:1", "'log-levle'", "did you mean 'log-level'")),
        ("log-level = 'loud'", ("f.toml:1", "'loud'", "debug, info")),
        ("log-level = ", ("f.toml", "not TOML")),
    ],
)
def test_flanpyd_exits_78_with_one_line_when_the_file_is_wrong(
    lab: Lab, tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    file = tmp_path / "f.toml"
    file.write_text(text)
    _assert_refused(run_flanpyd(lab.hosts[0], env={"FLANPYD_CONFIG": str(file)}), 78, *parts)


def test_second_instance_exits_75_naming_pid_and_run_dir_and_disturbs_nothing(lab: Lab) -> None:
    host = lab.hosts[0]
    before = kernel_state(host)
    pid, run_dir = host.daemon.pid, host.daemon.run_dir
    _assert_refused(run_flanpyd(host), 75, f"pid {pid}", "node 'h1'", f"'{run_dir}'", "--run-dir")
    assert host.daemon.is_ready_or_ended()
    assert kernel_state(host) == before


def test_first_instance_keeps_its_socket_when_a_second_was_refused(lab: Lab) -> None:
    host = lab.hosts[0]
    socket = host.daemon.run_dir / "flanpyd.sock"
    inode = socket.stat().st_ino
    run_flanpyd(host)
    assert socket.stat().st_ino == inode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_flanpyd_exits_0_and_says_so_when_a_signal_ends_it(lab: Lab, number: signal.Signals) -> None:
    daemon = lab.hosts[0].daemon
    daemon.signal(number)
    assert daemon.wait(deadline=5) == 0
    assert daemon.events("signal_received")[0]["signal"] == number.name
    assert len(daemon.events("daemon_stopped")) == 1
    assert "Traceback" not in daemon.log_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["daemon_started", "network_read"])
def test_flanpyd_exits_0_without_a_trace_when_a_signal_comes_while_it_starts(
    lab: Lab, number: signal.Signals, moment: str
) -> None:
    daemon = lab.hosts[0].daemon
    daemon.kill()
    daemon.launch()
    eventually(lambda: daemon.events(moment), daemon.log_tail)
    daemon.signal(number)
    assert daemon.wait(deadline=5) == 0
    assert "Traceback" not in daemon.log_text()


def test_flanpyd_ends_in_time_when_etcd_is_frozen(lab: Lab) -> None:
    daemon = lab.hosts[0].daemon
    member = lab.etcd.members[0]
    member.freeze()
    try:
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(deadline=5) == 0
    finally:
        member.thaw()


def test_flanpyd_lives_on_when_it_is_told_to_reload_while_it_starts(lab: Lab) -> None:
    daemon = lab.hosts[0].daemon
    daemon.kill()
    daemon.launch()
    eventually(lambda: daemon.events("daemon_started"), daemon.log_tail)
    daemon.signal(signal.SIGHUP)
    daemon.wait_ready()


def _run_beside(host: Host, **directories: Path) -> subprocess.CompletedProcess[str]:
    """Start a second one with directories of its own; it must not come as far as the kernel."""
    return run_flanpyd(host, env={f"FLANPYD_{name.upper()}": str(path) for name, path in directories.items()})


def test_run_dir_that_cannot_be_made_is_one_line_that_names_it(lab: Lab) -> None:
    with TemporaryDirectory(prefix="fp-") as short:  # a socket's path has 107 bytes at most
        (file := Path(short, "file")).touch()
        done = _run_beside(lab.hosts[0], run_dir=file / "run")
        _assert_refused(done, 1, str(file / "run"), "choose a path")


def test_busy_health_and_metrics_ports_are_a_condition_and_served_once_they_are_free(lab: Lab) -> None:
    host = lab.hosts[0]
    host.daemon.kill()
    squatter = host.child("squatter")
    script = (
        "import socket, time; held = [socket.create_server(('127.0.0.1', port)) for port in (%d, %d)];"
        " print('held', flush=True); time.sleep(100)"
    )
    squatter.start(["python3", "-c", script % (HEALTHZ_PORT, METRICS_PORT)])
    try:
        eventually(lambda: "held" in squatter.log_text(), squatter.log_tail)
        host.daemon.launch()
        host.run(*_status("--wait", "--timeout", "60"))
        parts = ("CannotListen", f"127.0.0.1:{HEALTHZ_PORT}", f"127.0.0.1:{METRICS_PORT}", "DEGRADED")
        eventually(lambda: _says_all(host, "ListenersUp", *parts), lambda: _said(host))
        assert len(host.daemon.events("condition_raised")) <= 2
    finally:
        squatter.kill()
    host.daemon.wait_ready(deadline=10)
    eventually(lambda: "flanpy_ready 1.0" in host.daemon.metrics(), host.daemon.log_tail)
    eventually(lambda: '{condition="ListenersUp"} 1.0' in host.daemon.metrics(), host.daemon.log_tail)


def _said(host: Host) -> str:
    return host.run(*_status(), check=False).stdout


def _says_all(host: Host, *parts: str) -> bool:
    said = _said(host)
    return all(part in said for part in parts)


def _status(*words: str) -> tuple[str, ...]:
    return (*flanpyctl(), "status", *words)


def test_stale_socket_of_a_dead_daemon_is_replaced_and_only_its_group_may_use_it(lab: Lab) -> None:
    host = lab.hosts[0]
    socket = host.daemon.run_dir / "flanpyd.sock"
    host.daemon.kill()
    stale = socket.stat().st_ctime_ns
    assert host.run(*_status(), check=False).returncode == 3
    host.daemon.up()
    assert host.run(*_status()).returncode == 0
    assert socket.stat().st_ctime_ns > stale
    assert stat.S_IMODE(socket.stat().st_mode) == 0o660
