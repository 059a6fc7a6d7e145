"""flanpyctl beside real daemons, in the namespace lab; and the stand-in of the other tests compared with them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from flanpy.cli.base.control import Control
from integration.hosts.daemon import flanpyctl
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from tests.cli import looks, stand_in
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.lab, pytest.mark.netns]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(2) as lab:
        lab.configure()
        for host in lab.hosts:
            host.daemon.launch()
        for host in lab.hosts:
            ctl(host, "status", "--wait", "--timeout", "60")
        yield lab


def ctl(host: Host, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run flanpyctl on a host of the lab, with the daemon's environment and no flags."""
    own = {**host.daemon.environment, "FLANPYD_SUBNET_FILE": str(host.daemon.subnet_path)}
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{host.namespace}", "--", *flanpyctl(), *words],
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done}"
    return done


def said(host: Host, *words: str) -> Any:
    return json.loads(ctl(host, *words, "-o", "json").stdout)


def shape(value: Any) -> Any:
    """Keys all the way down; of a list the shape of its first item, of a scalar nothing."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case [first, *_]:
            return [shape(first)]
        case _:
            return None


def test_stand_in_has_the_shape_of_the_real_daemon(lab: Lab) -> None:
    host = lab.hosts[0]
    eventually(
        lambda: said(host, "status")["tuning"] and said(host, "status")["pools"],
        "what is looked at now and then",
        deadline=60,
    )
    real, canned = said(host, "status"), json.loads(json.dumps(stand_in.STATUS))
    for counted in ("resyncs", "repairs"):  # what was counted, not a shape
        assert isinstance(real["passes"].pop(counted), dict)
        canned["passes"].pop(counted)
    assert shape(real) == shape(canned)
    assert f"etcd {real['store']['version']}" in ctl(host, "status").stdout
    assert shape(said(host, "diff")) == shape({**stand_in.DIFF, "lines": [], "kinds": []})
    assert shape(said(host, "config", "show")) == shape(stand_in.CONFIG)


def test_stand_in_has_the_rows_of_the_real_daemon(lab: Lab) -> None:
    real = Control(lab.hosts[0].daemon.run_dir).get("subnets")
    assert real.keys() == stand_in.SUBNETS.keys()
    assert real["subnets"][0].keys() == stand_in.SUBNETS["subnets"][0].keys() | {"expires_in"}


def test_canned_peers_and_events_have_the_keys_of_the_real_daemon(lab: Lab) -> None:
    control = Control(lab.hosts[0].daemon.run_dir)
    assert shape(control.get("peers")) == shape({"peers": [looks.peer()]})
    real, canned = control.get("events"), looks.EVENTS["events"][0]
    assert real.keys() == looks.EVENTS.keys() | {"epoch"}
    # The canned rows are those of a daemon of before: fields are only ever added.
    assert canned.keys() <= real["events"][0].keys()


def test_daemon_and_etcd_list_the_same_subnets(lab: Lab) -> None:
    of_daemon = {"state", "way", "way_reason", "expires_in"}

    def rows(*words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = said(lab.hosts[0], "subnets", *words)["subnets"]
        return [{k: v for k, v in row.items() if k not in of_daemon} for row in found]

    from_daemon = rows()
    assert from_daemon == rows("--etcd")
    assert sorted((row["node_id"], row["own"]) for row in from_daemon) == [("h1", True), ("h2", False)]


def test_ready_daemon_has_nothing_to_change_and_a_status_of_0(lab: Lab) -> None:
    host = lab.hosts[0]
    assert ctl(host, "diff").stdout == "# nothing to change\n"
    assert ctl(host, "status").stdout.splitlines()[0].endswith("This host  h1 works")
    assert "flag --iface" in ctl(host, "config", "show").stdout
    assert ctl(host, "reload").stdout == "nothing changed\n"


def test_own_lease_is_kept_when_it_is_pinned_under_the_running_daemon(lab: Lab) -> None:
    host = lab.hosts[0]
    before = said(host, "subnets", "show", "own")
    ctl(host, "subnets", "pin", "own")
    try:
        after = said(host, "subnets", "show", "own", "--etcd")
        assert (after["subnet"], after["reservation"], after["lease_id"]) == (before["subnet"], True, 0)
        ctl(host, "status", "--wait", "--timeout", "30")
    finally:
        ctl(host, "subnets", "unpin", "own")


def test_cleanup_leaves_no_trace_of_a_daemon_that_was_stopped(lab: Lab) -> None:
    host = lab.hosts[1]
    assert "stop it first" in ctl(host, "cleanup", "--yes", code=7).stderr
    host.daemon.stop()
    assert "flannel.1" in _links(host), "the data plane outlives the daemon"
    assert "ip link del flannel.1\n" in ctl(host, "cleanup", "--yes", "--release").stdout
    assert "flannel.1" not in _links(host)
    assert not any(
        path.exists() for path in (host.daemon.subnet_path, host.daemon.run_dir, host.daemon.state_dir)
    )
    assert ctl(host, "cleanup", "--yes").stdout == "nothing of ours is here\n"
    ctl(host, "subnets", "show", "h2", code=4)
    ctl(host, "status", code=3)


def _links(host: Host) -> str:
    return subprocess.run(
        ["ip", "-n", host.namespace, "-o", "link"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
