"""Boot without etcd, the subnet file, readiness (failure 13) and the etcd password (failure 12)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from integration.lab import EtcdApi, Host, Lab
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import conditions, ctl, own_key, owned, ring, status, undisturbed
from tests.lab.overlay import assert_settled, eventually

pytestmark = pytest.mark.lab

SECRET = "correct-horse-battery"


def reboot(host: Host) -> None:
    """Leave the host as a reboot does: the state directory stays. The run directory, subnet.env and all kernel
    state are gone."""
    host.daemon.kill()
    shutil.rmtree(host.daemon.run_dir)
    host.daemon.subnet_path.unlink()
    host.ip("link del flannel.1")
    assert not standing_of(host)


def standing_of(host: Host) -> list[str]:
    return [link["ifname"] for link in host.ip_json("link", "show") if link["ifname"].startswith("flannel")]


def test_p30_rebooted_host_boots_with_its_lease_from_disk_while_etcd_is_down(lab: Lab) -> None:
    host = lab.hosts[0]
    key, file = own_key(lab, host), host.daemon.subnet_path.read_text()
    entry = owned(lab, host)
    reboot(host)
    with undisturbed((lab.containers[1], lab.containers[2])):
        lab.etcd.kill()
        took = host.daemon.up(deadline=30)
        print(f"ready without etcd after {took:.2f} s")
        assert host.daemon.subnet_path.read_text() == file
        assert standing_of(host) == ["flannel.1"]
        assert host.has_link("flannel.1")
        eventually(
            lambda: not conditions(host)["DatastoreReachable"]["healthy"], "etcd is missed", deadline=20
        )
        assert conditions(host)["LeaseValid"]["reason"] == "FromDisk"
        assert status(host)["own"]["source"] == "disk"

        lab.etcd.start()
        eventually(lambda: conditions(host)["LeaseValid"]["reason"] == "Leased", "etcd confirms", deadline=20)
        assert own_key(lab, host) == key
        assert_settled(lab, deadline=20)
    after = owned(lab, host)
    assert entry is not None
    assert after is not None
    assert after.value == entry.value
    assert host.daemon.subnet_path.read_text() == file
    assert lab.containers[0].ping(lab.containers[1]).ok
    assert lab.containers[1].ping(lab.containers[0]).ok


def test_p30_host_without_a_lease_on_disk_waits_for_etcd(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    lab.etcd.kill()
    (host,) = lab.hosts
    host.daemon.launch()
    eventually(lambda: host.daemon.answers("/healthz"), "it lives", deadline=10)
    assert host.daemon.fetch("/readyz")[0] == 503
    assert not host.daemon.subnet_path.exists()
    lab.etcd.start()
    host.daemon.wait_ready(deadline=20)
    assert host.daemon.subnet_path.exists()


def test_failure_13_subnet_file_deleted_or_altered_by_hand_is_back_at_once(lab: Lab) -> None:
    host = lab.hosts[0]
    path, text = host.daemon.subnet_path, host.daemon.subnet_path.read_text()
    path.unlink()
    eventually(path.exists, "the file is back", deadline=3)
    assert path.read_text() == text
    path.write_text(text.replace("FLANNEL_MTU=1450", "FLANNEL_MTU=9000"))
    eventually(lambda: path.read_text() == text, "its contents are back", deadline=3)
    path.chmod(0o600)
    eventually(lambda: path.stat().st_mode & 0o777 == 0o644, "its mode is back", deadline=3)
    eventually(host.daemon.is_ready, "it is ready")


def test_failure_13_readiness_goes_and_comes_with_the_subnet_file(lab: Lab) -> None:
    host = lab.hosts[0]
    path, text = host.daemon.subnet_path, host.daemon.subnet_path.read_text()
    with undisturbed(*ring(lab)):
        host.daemon.freeze()  # else the file may be back before the directory has its place
        path.unlink()
        path.mkdir()
        host.daemon.thaw()
        eventually(lambda: host.daemon.fetch("/readyz")[0] == 503, "it is not ready")
        eventually(lambda: conditions(host)["SubnetFileWritten"]["reason"] == "WriteFailed", "it says why")
        assert str(path) in conditions(host)["SubnetFileWritten"]["message"]
        assert host.daemon.answers("/healthz")
        path.rmdir()
        eventually(host.daemon.is_ready, "it is ready again")
    assert path.read_text() == text


def test_failure_13_readiness_goes_and_comes_with_the_lease(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons("--subnet-lease-ttl=4")
    lab.attach_containers()
    host = lab.hosts[0]
    with undisturbed(*ring(lab)):
        lab.etcd.freeze()
        eventually(lambda: host.daemon.fetch("/readyz")[0] == 503, "the lease has run out", deadline=15)
        eventually(lambda: conditions(host)["LeaseValid"]["reason"] == "Expired", "it says why")
        lab.etcd.thaw()
        eventually(host.daemon.is_ready, "it is renewed", deadline=25)
        assert_settled(lab, deadline=20)


def test_failure_13_readiness_goes_and_comes_with_the_device(lab: Lab) -> None:
    host = lab.hosts[0]
    host.daemon.stop()
    host.ip("link del flannel.1", "link add flannel.1 type bridge")
    host.daemon.launch()
    eventually(lambda: conditions(host)["BackendReady"]["reason"] == "LinkTaken", "it says why", deadline=10)
    assert "flannel.1" in conditions(host)["BackendReady"]["message"]
    assert host.daemon.fetch("/readyz")[0] == 503
    host.ip("link del flannel.1")
    eventually(host.daemon.is_ready, "the name is free")
    assert_settled(lab)


def enable_auth(lab: Lab) -> None:
    """etcd lets nobody in without a password from now on."""
    api = EtcdApi(lab.etcd.members[0].namespace, ("127.0.0.1", 2379))
    for name in ("root", "flanpy"):
        api.call("/v3/auth/user/add", {"name": name, "password": SECRET})
    api.call("/v3/auth/role/add", {"name": "root"})
    for name in ("root", "flanpy"):
        api.call("/v3/auth/user/grant", {"user": name, "role": "root"})
    api.call("/v3/auth/enable", {})


def everything_said(lab: Lab, host: Host, env: dict[str, str]) -> dict[str, str]:
    """Return all that others may see of a daemon."""
    proc = Path(f"/proc/{host.daemon.pid}")
    files = [f for f in host.directory.rglob("*") if f.is_file()]
    tool = ["env", *(f"{name}={value}" for name, value in env.items())]
    said = {
        "log": host.daemon.log_text(all_starts=True),
        "metrics": host.daemon.metrics(),
        "comm": (proc / "comm").read_text(),
        "readyz": host.daemon.fetch("/readyz")[1],
        **{str(f): f.read_text(errors="replace") for f in files},
    }
    from integration.lab import flanpyctl  # noqa: PLC0415

    for words in (
        ["status"], ["status", "-o", "json"], ["config", "show"], ["config", "show", "-o", "json"], ["subnets"],
        ["diff"],
    ):  # fmt: skip
        done = host.run(*tool, *flanpyctl(), *words, check=False)
        said[" ".join(words)] = done.stdout + done.stderr
    assert lab.is_up
    return said


def test_failure_12_etcd_password_is_shown_nowhere(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    enable_auth(lab)
    one, two = lab.hosts
    by_env = {
        "FLANPYD_ETCD_USERNAME": "flanpy",
        "FLANPYD_ETCD_PASSWORD": SECRET,
        "FLANPYD_ETCD_PLAIN_PASSWORD": "true",
        "FLANPYD_LOG_LEVEL": "debug",
    }
    one.daemon.up(env=by_env)
    two.daemon.up(
        "--etcd-username=flanpy", f"--etcd-password={SECRET}", "--etcd-plain-password", "--log-level=debug"
    )
    cmdline = Path(f"/proc/{one.daemon.pid}/cmdline").read_text()
    assert SECRET not in cmdline
    for host in (one, two):
        shown = [where for where, text in everything_said(lab, host, by_env).items() if SECRET in text]
        assert shown == []
    assert "flanpy" in ctl(one, "config", "show")

    wrong = f"{SECRET}-no-more"
    one.daemon.kill()
    one.daemon.launch(env={**by_env, "FLANPYD_ETCD_PASSWORD": wrong})
    eventually(lambda: one.daemon.answers("/healthz"), "it lives", deadline=10)
    eventually(lambda: not conditions(one)["DatastoreReachable"]["healthy"], "it is refused", deadline=10)
    said = everything_said(lab, one, {**by_env, "FLANPYD_ETCD_PASSWORD": wrong})
    assert [where for where, text in said.items() if SECRET in text] == []
    assert one.daemon.running
