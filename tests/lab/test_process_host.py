"""A host that denies things: full disks, read-only directories, a user without root, a missing capability."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.faults.means.own_disks import FILL, SmallDisk
from integration.hosts.daemon import flanpyd
from integration.lab import Host, Lab, unreached
from integration.net.namespaces import set_sysctls, sysctl
from tests.lab.daemon_side import kernel_state, run_flanpyd, stopped
from tests.lab.overlay import assert_settled, condition, eventually, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

RETRIED_S = 10.0
NOBODY = 65534


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    with stopped(lab.hosts[0]) as host:
        yield host


@pytest.fixture
def disk(host: Host) -> Iterator[SmallDisk]:
    mount_point = host.directory / "small"
    yield SmallDisk(host, mount_point)
    host.daemon.kill()
    shutil.rmtree(mount_point)


def test_full_disk_for_the_subnet_file_is_a_condition_and_written_once_there_is_room(
    lab: Lab, host: Host, disk: SmallDisk
) -> None:
    mounted = host.daemon.subnet_path
    mounted.unlink()
    mounted.symlink_to(disk.mount_point / "subnet.env")
    disk.launch(before=FILL, env={})
    try:
        eventually(lambda: host.daemon.fetch("/readyz")[0] == 503, host.daemon.log_tail)
        eventually(
            lambda: condition(host, "SubnetFileWritten")["reason"] == "WriteFailed", host.daemon.log_tail
        )
        assert (
            "No space left on device; free some space there"
            in condition(host, "SubnetFileWritten")["message"]
        )
        eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host))
        assert unreached(lab.containers) == ()
        raised = [line for line in host.daemon.events("condition_raised") if "Subnet" in line["condition"]]
        disk.make_room()
        eventually(host.daemon.is_ready, host.daemon.log_tail, deadline=RETRIED_S)
        assert "FLANNEL_SUBNET=" in disk.path("subnet.env").read_text()
        assert len(raised) <= 1
    finally:
        mounted.unlink(missing_ok=True)


def test_lost_subnet_file_on_a_full_disk_takes_readiness_not_the_data_plane(
    lab: Lab, host: Host, disk: SmallDisk
) -> None:
    mounted = host.daemon.subnet_path
    mounted.unlink()
    mounted.symlink_to(disk.mount_point / "subnet.env")
    try:
        disk.launch(env={})
        host.daemon.wait_ready()
        before = kernel_state(host)
        kept = disk.path("subnet.env").read_bytes()
        disk.path("subnet.env").unlink()
        disk.fill()
        eventually(lambda: host.daemon.fetch("/readyz")[0] == 503, host.daemon.log_tail)
        assert kernel_state(host) == before
        assert unreached(lab.containers) == ()
        disk.make_room()
        eventually(host.daemon.is_ready, host.daemon.log_tail, deadline=RETRIED_S)
        assert disk.path("subnet.env").read_bytes() == kept
        assert kernel_state(host) == before
    finally:
        mounted.unlink()


@pytest.mark.parametrize(
    ("options", "before", "reason"),
    [((), FILL, "No space left on device"), (("ro",), "true", "Read-only file system")],
    ids=["full", "read-only"],
)
def test_state_dir_that_takes_nothing_is_a_condition_and_written_once_it_can_be(
    lab: Lab, host: Host, disk: SmallDisk, options: tuple[str, ...], before: str, reason: str
) -> None:
    disk.launch(*options, before=before, env={"FLANPYD_STATE_DIR": str(disk.mount_point)})
    host.daemon.wait_ready()
    assert_settled(lab, [host])
    eventually(lambda: condition(host, "LeaseSaved")["reason"] == "WriteFailed", host.daemon.log_tail)
    saved = condition(host, "LeaseSaved")
    assert saved["healthy"] is False
    assert reason in saved["message"]
    assert "--state-dir" in saved["cure"]
    if options:
        disk.remount("rw")
    else:
        disk.make_room()
    eventually(lambda: condition(host, "LeaseSaved")["healthy"], host.daemon.log_tail, deadline=RETRIED_S)
    assert str(host.subnet_file.subnet.network) in disk.path("lease.json").read_text()
    assert len(host.daemon.events("condition_raised")) <= 2


def test_read_only_run_dir_is_one_line_and_changes_nothing(host: Host, tmp_path: Path) -> None:
    before = kernel_state(host)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    script = f'mount -t tmpfs -o ro small {run_dir} && exec "$@"'
    done = run_flanpyd(
        host, env={"FLANPYD_RUN_DIR": str(run_dir)}, before=["unshare", "--mount", "sh", "-c", script, "sh"]
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"flanpyd: cannot open '{run_dir}/flanpyd.lock': Read-only file system; choose a directory that can be written"
    ]
    assert kernel_state(host) == before


def test_full_run_dir_does_not_keep_the_daemon_from_running(host: Host, disk: SmallDisk) -> None:
    disk.launch(before=FILL, env={"FLANPYD_RUN_DIR": str(disk.mount_point)})
    host.daemon.wait_ready()


# Users and capabilities


@pytest.fixture
def own_dirs(host: Host) -> Iterator[Path]:
    """A directory of nobody's own, where nobody can reach it."""
    path = Path(tempfile.mkdtemp(prefix="flanpy-nobody-"))
    path.chmod(0o755)
    for name in ("run", "state", "subnet"):
        (path / name).mkdir()
        os.chown(path / name, NOBODY, NOBODY)
    yield path
    host.daemon.kill()  # it puts subnet.env back as soon as it is gone
    shutil.rmtree(path)


def _as_nobody(*capabilities: str) -> list[str]:
    """Words that run a program as nobody with these capabilities and no others."""
    wanted = [*capabilities, *([] if _nobody_reaches_python() else ["dac_read_search"])]
    given = ",".join(["-all", *(f"+{one}" for one in wanted)])
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*user, f"--bounding-set={given}", f"--inh-caps={given}", f"--ambient-caps={given}", "--"]


def _nobody_reaches_python() -> bool:
    """Not where the interpreter is in root's home; then the way there must be opened, for reading only."""
    plain = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ]
    import_all = [flanpyd().argv[0], "--version"]
    return subprocess.run([*plain, *import_all], capture_output=True, check=False).returncode == 0


def _launch_as_nobody(host: Host, own_dirs: Path, *capabilities: str) -> None:
    env = {"FLANPYD_RUN_DIR": str(own_dirs / "run"), "FLANPYD_STATE_DIR": str(own_dirs / "state")}
    flags = f"--subnet-file={own_dirs / 'subnet' / 'subnet.env'}"
    host.daemon.launch(flags, env=env, argv=[*_as_nobody(*capabilities), *flanpyd().argv])


def test_overlay_comes_up_and_heals_without_root_but_net_admin(lab: Lab, host: Host, own_dirs: Path) -> None:
    host.ip("link del flannel.1")
    set_sysctls(host.namespace, {"net/ipv4/ip_forward": "0"})
    _launch_as_nobody(host, own_dirs, "net_admin")
    host.daemon.wait_ready()
    assert Path(f"/proc/{host.daemon.pid}").stat().st_uid == NOBODY
    assert_settled(lab)
    assert unreached(lab.containers) == ()
    assert sysctl(host.namespace, "net/ipv4/ip_forward") == "1"
    assert "FLANNEL_SUBNET=" in (own_dirs / "subnet" / "subnet.env").read_text()

    host.ip("link del flannel.1")
    assert_settled(lab)
    set_sysctls(host.namespace, {"net/ipv4/ip_forward": "0"})
    eventually(lambda: sysctl(host.namespace, "net/ipv4/ip_forward") == "1", host.daemon.log_tail)
    route = next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
    host.ip(f"route del {route}")
    assert_settled(lab)
    assert unreached(lab.containers) == ()
    assert host.daemon.events("kernel_write_failed") == []


def test_missing_net_admin_is_named_and_nothing_but_that_is_wrong(host: Host, own_dirs: Path) -> None:
    host.ip("link del flannel.1")
    _launch_as_nobody(host, own_dirs, "net_raw")
    eventually(lambda: host.daemon.answers("/healthz"), host.daemon.log_tail)
    eventually(lambda: "BackendReady LinkFailed" in host.daemon.fetch("/readyz")[1], host.daemon.log_tail)

    def told() -> list[dict[str, Any]]:
        return [one for one in host.daemon.events("condition_raised") if one["condition"] == "BackendReady"]

    eventually(told, host.daemon.log_tail)
    raised = told()[0]
    assert "Operation not permitted" in raised["error"]
    assert "CAP_NET_ADMIN" in raised["action"]
    assert host.daemon.fetch("/readyz")[0] == 503
    assert host.daemon.running
    assert "Traceback" not in host.daemon.log_text()


def test_data_plane_left_by_root_stands_under_a_daemon_that_may_not_change_it(
    lab: Lab, host: Host, own_dirs: Path
) -> None:
    before = kernel_state(host)
    _launch_as_nobody(host, own_dirs)
    eventually(lambda: host.daemon.answers("/healthz"), host.daemon.log_tail)
    eventually(lambda: "BackendReady" in host.daemon.fetch("/readyz?verbose")[1], host.daemon.log_tail)
    assert unreached(lab.containers) == ()
    assert kernel_state(host) == before


def test_state_of_root_that_nobody_cannot_write_is_one_line_or_a_condition(
    host: Host, own_dirs: Path
) -> None:
    os.chown(own_dirs / "run", 0, 0)
    done = run_flanpyd(host, env={"FLANPYD_RUN_DIR": str(own_dirs / "run")}, before=_as_nobody("net_admin"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "as this user: run as root, or systemctl start flanpyd" in done.stderr
