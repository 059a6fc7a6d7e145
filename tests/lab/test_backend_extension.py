"""The extension backend on whole hosts, and alloc: scripts of the operator's connect containers, or nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, flanpyctl, unreached
from tests.lab.backend_side import condition
from tests.lab.conftest import BuildLab
from tests.lab.overlay import eventually, standing

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SCRIPTS = {
    "pre": 'echo "words of $FLANPYD_NODE_ID"; echo noise >&2; uname -n > /dev/null',
    "post": 'echo "start $NETWORK $SUBNET $PUBLIC_IP" >> "$LAB_LOG"',
    "add": 'read told; echo "add $SUBNET $PUBLIC_IP $told" >> "$LAB_LOG"; '
    'ip route add "$SUBNET" via "$PUBLIC_IP" proto 99',
    "remove": 'read told; echo "remove $SUBNET $PUBLIC_IP" >> "$LAB_LOG"; ip route del "$SUBNET" via "$PUBLIC_IP"',
}
OPTIONS = {
    "pre": "PreStartupCommand",
    "post": "PostStartupCommand",
    "add": "SubnetAddCommand",
    "remove": "SubnetRemoveCommand",
}


@pytest.fixture
def scripts(tmp_path: Path) -> dict[str, str]:
    """The operator's scripts, the same on all hosts, by name."""
    found = {}
    for name, body in SCRIPTS.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nset -e\n{body}\n")
        path.chmod(0o755)
        found[name] = str(path)
    return found


def _config(scripts: dict[str, str]) -> dict[str, object]:
    named = {OPTIONS[name]: path for name, path in scripts.items()}
    return {"Network": NETWORK, "Backend": {"Type": "extension", **named}}


def _flags(scripts: dict[str, str]) -> list[str]:
    return [f"--extension-command={path}" for path in scripts.values()]


def _launch(host: Host, scripts: dict[str, str]) -> None:
    host.daemon.launch(*_flags(scripts), env={"LAB_LOG": str(_log(host))})


def _log(host: Host) -> Path:
    return host.directory / "commands.log"


def _ran(host: Host) -> list[str]:
    return _log(host).read_text().splitlines() if _log(host).exists() else []


def _leases(lab: Lab) -> dict[str, tuple[str, dict[str, object]]]:
    found = {}
    for entry in lab.etcd.api.list(f"{ETCD_PREFIX}/subnets/"):
        value = json.loads(entry.value)
        found[value["NodeID"]] = (entry.key.rsplit("/", 1)[1].replace("-", "/"), value)
    return found


def _up(lab: Lab, scripts: dict[str, str]) -> None:
    lab.configure(_config(scripts))
    for host in lab.hosts:
        _launch(host, scripts)
    for host in lab.hosts:
        host.daemon.wait_ready(deadline=30)
    count = len(lab.hosts)
    eventually(
        lambda: all(sum(line.startswith("add") for line in _ran(host)) == count - 1 for host in lab.hosts),
        lambda: [_ran(host) for host in lab.hosts],
        deadline=30,
    )
    for host in lab.hosts:
        subnets = {subnet for name, (subnet, _) in _leases(lab).items() if name != host.name}
        # what the script does next
        eventually(
            lambda host=host, subnets=subnets: subnets <= host.routes().keys(),  # type: ignore[misc]
            lambda host=host: str(host.routes()),  # type: ignore[misc]
            deadline=30,
        )


def test_scripts_of_the_operator_connect_the_hosts_and_a_restart_runs_none_again(
    build_lab: BuildLab, scripts: dict[str, str]
) -> None:
    lab = build_lab(2)
    _up(lab, scripts)
    lab.attach_containers()
    one, two = lab.hosts
    assert unreached(lab.containers) == ()
    leases = _leases(lab)
    (subnet1, value1), (subnet2, value2) = leases["h1"], leases["h2"]
    assert (value1["BackendType"], value1["BackendData"]) == (
        "extension",
        "words of",
    )  # settings are no one's business
    assert _ran(one) == [
        f"start {NETWORK} {subnet1} {one.address}",
        f"add {subnet2} {two.address} {value2['BackendData']}",
    ]
    assert one.subnet_file.mtu == 1500

    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        before = _ran(one)
        one.daemon.kill()
        _launch(one, scripts)
        one.daemon.wait_ready(deadline=30)
        eventually(lambda: condition(one, "PeersProgrammed")["healthy"], "peers stand", deadline=30)
        assert _ran(one) == before
        assert stream.stop().whole

    # a peer that leaves while the daemon is down is removed when it is back
    one.daemon.kill()
    two.daemon.stop()
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/{subnet2.replace('/', '-')}")
    _launch(one, scripts)
    eventually(lambda: _ran(one)[-1] == f"remove {subnet2} {two.address}", lambda: _ran(one), deadline=30)
    # what the script does next
    eventually(lambda: subnet2 not in one.routes(), lambda: str(one.routes()), deadline=30)


def test_cleanup_runs_the_remove_command_for_every_peer(build_lab: BuildLab, scripts: dict[str, str]) -> None:
    lab = build_lab(2)
    _up(lab, scripts)
    one, two = lab.hosts
    subnet = _leases(lab)["h2"][0]
    assert subnet in one.routes()
    one.daemon.stop()
    host_files = f"--subnet-file={one.daemon.subnet_path}"
    shown = one.run(*flanpyctl(), "cleanup", "--dry-run", host_files).stdout
    assert (
        f"SUBNET={subnet} PUBLIC_IP={two.address} {scripts['remove']}" not in shown
    )  # no setting here names it
    allowed = f"FLANPYD_EXTENSION_COMMAND={scripts['remove']}"
    shown = one.run("env", allowed, *flanpyctl(), "cleanup", "--dry-run", host_files).stdout
    assert f"SUBNET={subnet} PUBLIC_IP={two.address} {scripts['remove']}" in shown
    one.run("env", allowed, f"LAB_LOG={_log(one)}", *flanpyctl(), "cleanup", "--yes", host_files)
    assert _ran(one)[-1] == f"remove {subnet} {two.address}"
    assert subnet not in one.routes()
    assert not one.daemon.run_dir.exists()
    assert one.run(*flanpyctl(), "cleanup", "--yes", host_files).stdout.strip() == "nothing of ours is here"


def test_commands_that_a_host_does_not_allow_never_run_there_and_are_named(
    build_lab: BuildLab, scripts: dict[str, str]
) -> None:
    lab = build_lab(1)
    (host,) = lab.hosts
    lab.configure(_config(scripts))
    host.daemon.launch(f"--extension-command={scripts['pre']}", env={"LAB_LOG": str(_log(host))})
    eventually(lambda: host.daemon.answers("/healthz"), "the daemon answers", deadline=30)
    eventually(
        lambda: condition(host, "NetworkConfigValid")["reason"] == "Invalid", "it is named", deadline=30
    )
    said = condition(host, "NetworkConfigValid")["message"]
    assert (
        f"Backend.PostStartupCommand of extension is '{scripts['post']}', which this host does not allow"
        in said
    )
    assert _ran(host) == []
    assert _leases(lab) == {}

    # a config that asks for more than is allowed changes nothing on a host that runs
    host.daemon.stop()
    lab.configure()
    host.daemon.up()
    before = standing(lab, host)
    lab.configure(_config(scripts))
    eventually(
        lambda: condition(host, "NetworkConfigValid")["reason"] == "Invalid", "it is named", deadline=30
    )
    assert standing(lab, host) == before
    assert host.daemon.is_ready()


def test_failing_command_is_a_condition_and_is_tried_until_it_succeeds(
    build_lab: BuildLab, scripts: dict[str, str]
) -> None:
    lab = build_lab(2)
    one, two = lab.hosts
    Path(scripts["pre"]).write_text("#!/bin/sh\necho no luck >&2\nexit 9\n")
    lab.configure(_config(scripts))
    for host in lab.hosts:
        _launch(host, scripts)
    for host in lab.hosts:
        eventually(lambda host=host: host.daemon.answers("/healthz"), "the daemon answers", deadline=30)  # type: ignore[misc]
    eventually(
        lambda: condition(one, "BackendReady")["reason"] == "CommandFailed", "it is named", deadline=30
    )
    assert "ended with 9: no luck" in condition(one, "BackendReady")["message"]
    assert _leases(lab) == {}

    Path(scripts["pre"]).write_text("#!/bin/sh\necho luck\n")
    Path(scripts["add"]).write_text("#!/bin/sh\necho not yet >&2\nexit 1\n")
    eventually(lambda: condition(one, "PeersProgrammed")["reason"] == "Failed", "it is named", deadline=60)
    assert "not yet" in condition(one, "PeersProgrammed")["message"]
    Path(scripts["add"]).write_text(f"#!/bin/sh\nset -e\n{SCRIPTS['add']}\n")
    eventually(lambda: condition(one, "PeersProgrammed")["healthy"], "peers stand", deadline=60)
    eventually(lambda: _leases(lab)["h1"][0] in two.routes(), two.routes, deadline=60)


def test_alloc_leases_a_subnet_and_touches_nothing_else(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(backend="alloc")
    before = [host.routes() for host in lab.hosts]
    lab.start_daemons()
    one, two = lab.hosts
    eventually(lambda: len(_leases(lab)) == 2, "both leased", deadline=30)
    assert {"BackendType" in value for _, value in _leases(lab).values()} == {False}
    assert one.subnet_file.mtu == 1500
    assert [host.routes() for host in lab.hosts] == before
    assert not any(standing(lab, host) for host in lab.hosts)
    assert all(host.daemon.is_ready() for host in lab.hosts)
    assert condition(one, "PeerLeasesValid")["healthy"]
    eventually(lambda: _ways(two) == {"h1": "none", "h2": ""}, lambda: str(_ways(two)))


def _ways(host: Host) -> dict[str, str]:
    rows = json.loads(host.run(*flanpyctl(), "subnets", "-o", "json").stdout)["subnets"]
    return {row["node_id"]: row["way"] for row in rows}
