"""Bip mode on a real dockerd: plan, apply, restart, verify, roll back."""

from __future__ import annotations

import json
import re

import pytest

from flanpy.cli.base.exits import Exit
from tests.docker.conftest import ASIDE, Wired

pytestmark = [pytest.mark.netns, pytest.mark.lab]

OURS = ("10.50.7.0/24", 1450)
THEIRS = ("172.17.0.0/16", 1500)


def test_apply_refuses_a_circle_of_links_in_one_line(wired: Wired) -> None:
    wired.engine.daemon_json_path.unlink()
    wired.engine.daemon_json_path.symlink_to("daemon.json")
    done = wired.ctl("apply")
    wired.engine.daemon_json_path.unlink()
    assert done.returncode == Exit.FAILURE
    assert re.fullmatch(r"flanpyctl: cannot read .*circle.*\n", done.stderr)


def test_plan_shows_the_diff_and_what_a_restart_stops_and_changes_nothing(wired: Wired) -> None:
    wired.engine.run_container("web", "--restart", "always")
    wired.engine.run_container("job")
    before, pid = wired.file, wired.engine.pid
    done = wired.ctl("plan", "--restart", "always")
    assert done.returncode == Exit.OK
    assert '-    "bip": "172.17.0.1/16"\n+    "bip": "10.50.7.1/24",\n+    "mtu": 1450' in done.stdout
    assert "a restart stops 2 containers: job, web (comes back)" in done.stdout
    said = json.loads(wired.ctl("plan", "-o", "json").stdout)
    assert [one["name"] for one in said["stops"]] == ["job", "web"]
    assert (said["changed"], said["restart_needed"], said["live_restore"]) == (True, True, False)
    assert {one["key"]: one["new"] for one in said["changes"]} == {"bip": "10.50.7.1/24", "mtu": 1450}
    assert (wired.file, wired.engine.pid) == (before, pid)
    assert wired.engine.bridge_network() == THEIRS


def test_apply_restarts_docker_on_our_subnet_and_rollback_gives_the_file_back(wired: Wired) -> None:
    before = wired.file
    assert wired.ctl("status").returncode == Exit.UNHEALTHY
    done = wired.ctl("apply", "--restart", "if-idle")
    assert done.returncode == Exit.OK, done.stderr
    assert "Docker was restarted: docker0 is 10.50.7.0/24 with MTU 1450" in done.stdout
    assert wired.engine.bridge_network() == OURS
    assert wired.engine.run_container("web").exec("cat", "/sys/class/net/eth0/mtu").stdout == "1450\n"
    assert wired.ctl("status").returncode == Exit.OK
    pid = wired.engine.pid
    again = wired.ctl("apply", "--restart", "always")
    assert (again.returncode, wired.engine.pid) == (Exit.OK, pid)
    assert "no restart is needed" in again.stdout
    done = wired.ctl("rollback", "--restart", "always")
    assert done.returncode == Exit.OK, done.stderr
    assert wired.file == before
    assert wired.engine.bridge_network() == THEIRS
    assert wired.ctl("rollback").returncode == Exit.FAILURE


def test_rollback_removes_the_file_that_was_not_there_before(wired: Wired) -> None:
    wired.engine.daemon_json_path.unlink()
    assert wired.ctl("apply", "--restart", "never").returncode == Exit.OK
    assert json.loads(wired.file)["bip"]
    assert wired.ctl("rollback", "--restart", "never").returncode == Exit.OK
    assert not wired.engine.daemon_json_path.exists()


def test_p08_apply_turns_dockers_masquerade_off_where_flanpyd_masquerades(wired: Wired) -> None:
    wired.lease(ipmasq=True)
    assert wired.ctl("apply", "--restart", "always").returncode == Exit.OK
    assert json.loads(wired.file)["ip-masq"] is False
    rules = wired.host.run("iptables", "-t", "nat", "-S", "POSTROUTING").stdout
    assert "10.50.7.0/24" not in rules


@pytest.mark.parametrize("policy", ["never", "if-idle"])
def test_apply_leaves_running_containers_alone_unless_told_otherwise(wired: Wired, policy: str) -> None:
    web = wired.engine.run_container("web")
    pid = wired.engine.pid
    done = wired.ctl("apply", "--restart", policy)
    assert done.returncode == Exit.OK, done.stderr
    assert "leaves that to you" in done.stdout
    assert json.loads(wired.file)["bip"] == "10.50.7.1/24"
    assert (wired.engine.pid, web.inspect()["State"]["Running"]) == (pid, True)
    said = json.loads(wired.ctl("status", "-o", "json").stdout)
    assert (said["reason"], said["told_bip"]) == ("RestartPending", "10.50.7.1/24")


def test_apply_without_a_running_docker_writes_what_it_will_start_with_through_a_link(wired: Wired) -> None:
    elsewhere = wired.host.path("/etc/docker/site.json")
    elsewhere.write_text('{"bip": "172.17.0.1/16"}')
    wired.engine.daemon_json_path.unlink()
    wired.engine.daemon_json_path.symlink_to("site.json")
    wired.engine.stop()
    done = wired.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.OK, done.stderr
    assert "Docker does not run: it will start with this file" in done.stdout
    assert not wired.engine.running
    assert wired.ctl("status").returncode == Exit.UNREACHABLE
    wired.engine.start()
    assert wired.engine.bridge_network() == OURS
    assert wired.engine.daemon_json_path.is_symlink()
    assert json.loads(elsewhere.read_text())["mtu"] == 1450


RESOLVER = "169.254.53.53"


@pytest.mark.parametrize(
    ("listen", "mode", "words"),
    [
        ("off", "bip", "dns-listen is off"),
        (f"{RESOLVER}:5353", "bip", "asks port 53 only"),
        (f"{RESOLVER}:53", "network", "network mode leaves alone"),
    ],
)
def test_apply_refuses_dns_that_docker_could_not_ask(
    wired: Wired, listen: str, mode: str, words: str
) -> None:
    before = wired.file
    done = wired.ctl("apply", "--dns", "--mode", mode, dns_listen=listen)
    assert (done.returncode, len(done.stderr.splitlines())) == (Exit.REFUSED, 1), done.stderr
    assert words in done.stderr
    assert wired.file == before


def test_apply_has_containers_ask_the_resolver_and_rollback_takes_it_back(wired: Wired) -> None:
    before, listen = wired.file, f"{RESOLVER}:53"
    wired.host.path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    assert wired.ctl("apply", "--restart", "always").returncode == Exit.OK
    left = wired.ctl("apply", "--dns", dns_listen=listen)
    assert "must be restarted" in left.stdout
    assert json.loads(wired.file)["dns"] == [RESOLVER, "192.0.2.1"]
    again = wired.ctl("plan", "--dns", dns_listen=listen)
    assert "must be restarted" in again.stdout, "Docker has not read the file yet"
    assert (
        "Docker was restarted" in wired.ctl("apply", "--dns", "--restart", "always", dns_listen=listen).stdout
    )
    told = wired.engine.run_container("web").exec("cat", "/etc/resolv.conf").stdout
    assert re.findall(r"^nameserver (\S+)$", told, re.MULTILINE) == [RESOLVER, "192.0.2.1"]
    assert (
        "no restart is needed" in wired.ctl("apply", "--dns", "--restart", "always", dns_listen=listen).stdout
    )
    assert "no restart is needed" in wired.ctl("apply").stdout
    assert json.loads(wired.file)["dns"] == [RESOLVER, "192.0.2.1"]
    assert wired.ctl("rollback", "--restart", "always").returncode == Exit.OK
    assert wired.file == before


def test_apply_of_name_servers_alone_restarts_a_docker_with_live_restore_under_its_containers(
    wired: Wired,
) -> None:
    wired.engine.configure({"bip": ASIDE, "live-restore": True})
    wired.engine.restart()
    assert wired.ctl("apply", "--restart", "always").returncode == Exit.OK
    web = wired.engine.run_container("web")
    number = web.inspect()["State"]["Pid"]
    done = wired.ctl("apply", "--dns", "--restart", "always", dns_listen=f"{RESOLVER}:53")
    assert (done.returncode, "Docker was restarted" in done.stdout) == (Exit.OK, True), done.stdout
    assert web.inspect()["State"]["Pid"] == number


def test_apply_refuses_a_flag_that_would_keep_docker_from_starting(wired: Wired) -> None:
    wired.engine.daemon_json_path.write_text("{}")
    wired.host.path("/etc/default/docker").write_text("DOCKER_OPTS=--mtu=1400\n")
    wired.engine.restart()
    done = wired.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.CONFLICT
    assert f"the command line of dockerd (pid {wired.engine.pid}) has --mtu" in done.stderr
    assert wired.file == "{}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"hosts": 5}', "hosts"),
        ('{"allow-direct-routing": true}', "allow-direct-routing"),
        ('{"debug": true,}', "line 1"),
        ('{\n  // ours\n  "debug": true\n}', "no comments"),
        ('{"log-opts": {"max-size": 10}}', "max-size"),
    ],
)
def test_apply_leaves_a_file_untouched_that_docker_would_not_start_with(
    wired: Wired, text: str, word: str
) -> None:
    wired.engine.daemon_json_path.write_text(text)
    pid = wired.engine.pid
    done = wired.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.FAILURE
    assert word in done.stderr or "log-opts" in done.stderr
    assert (wired.file, wired.engine.pid) == (text, pid)


def test_apply_refuses_a_subnet_that_one_of_dockers_networks_has(wired: Wired) -> None:
    wired.engine.docker("network", "create", "--subnet", "10.50.7.128/25", "mine")
    before = wired.file
    done = wired.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.CONFLICT
    assert "docker network rm mine" in done.stderr
    assert wired.file == before


BROKEN = (
    "sh -c 'if grep -q 10.50.7 /etc/docker/daemon.json; then systemctl stop docker; echo no luck; exit 3; fi; \
systemctl restart docker'"
)
WRONG = (
    "sh -c 'sed s/10.50.7.1/10.50.9.1/ /etc/docker/daemon.json > /tmp/d; cat /tmp/d > /etc/docker/daemon.json; \
systemctl restart docker'"
)


@pytest.mark.parametrize(("command", "words"), [(BROKEN, "no luck"), (WRONG, "10.50.9.0/24")])
def test_apply_puts_the_old_file_back_when_docker_does_not_come_up_with_the_new_one(
    wired: Wired, command: str, words: str
) -> None:
    before = wired.file
    done = wired.ctl("apply", "--restart", "always", f"--docker-restart-command={command}")
    assert done.returncode == Exit.FAILURE
    assert words in done.stderr
    assert "is back and Docker runs with it" in done.stderr
    assert wired.file == before
    assert not wired.engine.daemon_json_path.with_name("daemon.json.flanpy-backup").exists()
    assert wired.engine.bridge_network() == THEIRS


def restarts(wired: Wired) -> int:
    """Count the starts of dockerd since the last time that nobody counted."""
    return wired.host.run("cat", "/tmp/starts", check=False).stdout.count("\n")


COUNTED = "sh -c 'echo once >> /tmp/starts; systemctl restart docker'"


@pytest.mark.parametrize("ipmasq", [False, True])
@pytest.mark.parametrize("how", ["iptables in the file", "ip-masq by a flag", "iptables by a flag"])
def test_apply_plans_from_what_dockers_settings_allow_and_restarts_it_once(
    wired: Wired, how: str, *, ipmasq: bool
) -> None:
    wired.lease(ipmasq=ipmasq)
    wired.host.path("/tmp/starts").unlink(missing_ok=True)
    if how == "iptables in the file":
        wired.engine.configure({"bip": ASIDE, "iptables": False})
    else:
        wired.host.path("/etc/default/docker").write_text(f"DOCKER_OPTS=--{how.split(maxsplit=1)[0]}=false\n")
    wired.engine.restart()
    done = wired.ctl("apply", "--restart", "always", f"--docker-restart-command={COUNTED}")
    assert done.returncode == Exit.OK, done.stderr
    assert wired.engine.bridge_network() == OURS
    assert restarts(wired) == 1
    assert ("containers reach nothing outside the overlay" in done.stdout) is not ipmasq
    again = wired.ctl("apply", "--restart", "always", f"--docker-restart-command={COUNTED}")
    assert "no restart is needed" in again.stdout
    assert restarts(wired) == 1
    assert wired.ctl("status").returncode == Exit.OK


def test_plan_apply_and_status_warn_of_address_pools_within_the_overlay(wired: Wired) -> None:
    assert "default-address-pools" not in wired.ctl("plan").stdout
    wired.engine.configure({"bip": ASIDE, "default-address-pools": [{"base": "10.50.0.0/16", "size": 24}]})
    said = "default-address-pools has 10.50.0.0/16, which overlaps the overlay 10.50.0.0/16"
    assert said in wired.ctl("plan").stdout
    assert said in wired.ctl("plan", "--mode", "network").stdout
    assert said in wired.ctl("status").stdout
    assert said in json.loads(wired.ctl("status", "-o", "json").stdout)["warnings"][0]
    assert said in wired.ctl("apply", "--restart", "never").stdout


def test_apply_says_so_when_docker_is_not_up_with_the_old_file_either(wired: Wired) -> None:
    before = wired.file
    done = wired.ctl(
        "apply", "--restart", "always", "--docker-restart-command=false", "--docker-restart-timeout=30"
    )
    assert done.returncode == Exit.FAILURE
    assert "not up with it either" in done.stderr
    assert wired.file == before


def test_p30_live_restore_makes_a_restart_void_which_is_said_before_and_after(wired: Wired) -> None:
    wired.engine.configure({"bip": ASIDE, "live-restore": True})
    wired.engine.restart()
    web = wired.engine.run_container("web")
    said = json.loads(wired.ctl("plan", "--restart", "always", "-o", "json").stdout)
    assert (said["restart"], said["live_restore"], said["stops"]) == ("void-by-live-restore", True, [])
    done = wired.ctl("apply", "--restart", "always")
    assert done.returncode == Exit.UNHEALTHY
    assert "stop them, then restart Docker" in done.stderr
    assert json.loads(wired.file)["bip"] == "10.50.7.1/24"
    wired.engine.restart()  # as somebody may who does not know
    assert web.inspect()["State"]["Running"]
    assert wired.engine.bridge_network()[0] == THEIRS[0]
    said = json.loads(wired.ctl("status", "-o", "json").stdout)
    assert said["reason"] == "LiveRestoreKeptOldBip"
    web.remove()
    assert wired.ctl("apply", "--restart", "if-idle").returncode == Exit.OK
    assert wired.engine.bridge_network() == OURS


def test_p30_apply_before_start_asks_docker_nothing(wired: Wired) -> None:
    wired.engine.freeze()
    try:
        done = wired.ctl("apply", "--before-start", "--restart", "always")
        assert done.returncode == Exit.OK, done.stderr
        assert json.loads(wired.file)["bip"] == "10.50.7.1/24"
        assert wired.ctl("apply", "--mode", "network", "--before-start").returncode == Exit.OK
    finally:
        wired.engine.thaw()


def test_apply_refuses_while_docker_hangs_and_changes_nothing(wired: Wired) -> None:
    before = wired.file
    wired.engine.freeze()
    try:
        done = wired.ctl("apply", "--restart", "always")
        assert done.returncode == Exit.UNREACHABLE
        assert "gave no answer" in done.stderr
        assert wired.file == before
    finally:
        wired.engine.thaw()


def test_p19_running_containers_of_a_larger_mtu_are_counted(wired: Wired) -> None:
    wired.lease(mtu=1500)
    assert wired.ctl("apply", "--restart", "always").returncode == Exit.OK
    wired.engine.run_container("old")
    wired.lease(mtu=1450)
    wired.engine.configure({"bip": "10.50.7.1/24", "mtu": 1450, "live-restore": True})
    wired.engine.reload()
    said = json.loads(wired.ctl("status", "-o", "json").stdout)
    assert said["reason"] == "MTUDiffers"
    assert len(said["over_mtu"]) == 1
