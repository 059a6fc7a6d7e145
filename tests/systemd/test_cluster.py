"""One command a host: three booted hosts become a cluster, and one leaves it again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flanpy.cluster.token import fresh
from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.lab import Probe
from tests.lab.overlay import eventually
from tests.systemd.looks import DEADLINE_S
from tests.systemd.tls_etcds import AUTHORITY, CLIENT_PORT, tls_etcds, urls

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

CREATE = ("flanpyctl", "cluster", "token", "create")


@pytest.fixture(scope="module")
def cluster(layer: Path) -> Iterator[SystemdLab]:
    """Hosts that know no etcd: the first one has run `cluster init`, the second one `cluster join`."""
    with SystemdLab(hosts=3, layers=[layer]) as lab:
        lab.boot()
        for host in lab.hosts:
            host.run("sh", "/opt/flanpy/install.sh", "--activate")
        first, second, _ = lab.hosts
        said = first.run("flanpyctl", "cluster", "init")
        (token,) = re.findall(r"cluster join - <<< (\S+)", said.stdout)
        second.run("flanpyctl", "cluster", "join", "-", stdin=token)
        yield lab


def token_of(host: SystemdHost, *words: str) -> str:
    """Make a token."""
    return str(host.run(*CREATE, *words).stdout)


def refused(host: SystemdHost, *words: str, stdin: str | None = None) -> tuple[int, str]:
    """Return the exit code and the one line of a command that is refused."""
    done = host.run("flanpyctl", "cluster", *words, check=False, stdin=stdin)
    assert done.returncode != 0, done.stdout
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def members(host: SystemdHost) -> dict[str, dict[str, Any]]:
    """Return the members by name, as a host sees them."""
    return {
        row["name"]: row
        for row in json.loads(host.run("flanpyctl", "cluster", "members", "-o", "json").stdout)
    }


def verdicts(host: SystemdHost, *words: str, stdin: str | None = None) -> set[str]:
    """Run a command again; return the kinds of its steps."""
    said = host.run("flanpyctl", "cluster", *words, "-o", "json", stdin=stdin).stdout
    return {one["verdict"] for one in json.loads(said)["steps"]}


def test_containers_of_two_hosts_reach_each_other_after_init_and_join(cluster: SystemdLab) -> None:
    first, second, _ = cluster.hosts
    one, two = (host.docker.run_container("c1", "--restart=always") for host in (first, second))
    eventually(
        lambda: one.ping(two).ok and two.ping(one).ok, lambda: first.journal("flanpyd"), deadline=DEADLINE_S
    )
    rows = members(second)
    assert set(rows) == {first.name, second.name}
    assert all(row["subnet"] for row in rows.values())


def test_second_run_changes_nothing(cluster: SystemdLab) -> None:
    first, second, _ = cluster.hosts
    before = [host.unit("flanpyd", "MainPID") for host in (first, second)]
    assert verdicts(first, "init") == {"keep"}
    assert verdicts(first, "init", "--dry-run") == {"keep"}
    said = first.run("flanpyctl", "cluster", "init").stdout
    assert not re.search(r"^(would|done) .*(key|certificate|network|runs|=)", said, re.MULTILINE), said
    again = second.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    assert "keep   member" in again.stdout
    assert [host.unit("flanpyd", "MainPID") for host in (first, second)] == before


def test_secrets_are_roots_alone_and_in_no_journal(cluster: SystemdLab) -> None:
    first, second, _ = cluster.hosts
    for host in (first, second):
        found = host.run(
            "find", "/etc/credstore", "-type", "f", "-name", "*key*", "-printf", "%u %m\\n"
        ).stdout
        assert set(found.split("\n")) - {""} == {"root 600"}
        assert host.run("stat", "-c", "%a", "/etc/credstore").stdout.strip() == "700"
    text = token_of(first)
    json_text = first.run("flanpyctl", "cluster", "token", "list", "-o", "json").stdout
    assert "digest" not in json_text
    assert text.strip() not in first.journal("flanpy-store", lines=2000)
    assert "PRIVATE KEY" not in first.journal("flanpy-store", lines=2000)
    first.run("flanpyctl", "diag", "-f", "/root/diag.tar.gz")
    told = first.run("tar", "-xzOf", "/root/diag.tar.gz").stdout + first.run("ps", "-eo", "args").stdout
    assert "PRIVATE KEY" not in told
    assert text.strip() not in told


def test_bad_input_is_one_line_and_leaves_the_host_as_it_was(cluster: SystemdLab) -> None:
    first, second, third = cluster.hosts
    token = token_of(first).strip()
    middle = len(token) // 2
    altered = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    assert refused(third, "join", "-", stdin="")[0] == 2
    assert "no token" in refused(third, "join", "-", stdin="hello")[1]
    assert "altered" in refused(third, "join", "-", stdin=altered)[1]
    first.run("flanpyctl", "cluster", "token", "revoke", json.loads(
        first.run("flanpyctl", "cluster", "token", "list", "-o", "json").stdout)[-1]["id"])  # fmt: skip
    for each in json.loads(first.run("flanpyctl", "cluster", "token", "list", "-o", "json").stdout):
        first.run("flanpyctl", "cluster", "token", "revoke", each["id"])
    assert "revoked" in refused(third, "join", "-", stdin=token)[1]
    assert "runs a cluster's store" in refused(first, "join", "-", stdin=token)[1]
    assert "leave first" in refused(second, "init")[1]
    elsewhere = fresh(("127.0.0.1:1",), "ab" * 32).text()
    assert "belongs to another cluster" in refused(second, "join", "-", stdin=elsewhere)[1]
    code, line = refused(third, "join", "-", stdin=elsewhere)
    assert (code, "cannot be reached" in line) == (3, True), line
    assert "belongs to no cluster" in refused(third, "members")[1]
    assert refused(second, "token", "create")[0] == 7
    assert refused(first, "remove", "nobody")[0] == 4
    assert refused(first, "leave")[0] == 7
    assert not third.exists("/etc/flanpy/cluster.json")
    assert not third.exists("/etc/credstore/flanpyd.etcd-keyfile")
    assert not third.is_active("flanpyd")


def test_third_host_joins_by_a_word_leaves_and_may_come_again(cluster: SystemdLab) -> None:
    first, _, third = cluster.hosts
    third.run("flanpyctl", "cluster", "join", token_of(first, "--for", "5m").strip())
    assert third.name in members(first)
    third.run("flanpyctl", "cluster", "leave", "--force")
    assert third.name not in members(first)
    assert not third.exists("/etc/credstore/flanpyd.etcd-keyfile")
    assert "FLANPYD_ETCD_ENDPOINTS=" not in re.sub(r"#.*", "", third.read("/etc/default/flanpyd"))
    third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    assert third.name in members(third)


def test_removed_host_is_refused_by_the_store_and_the_others_go_on(cluster: SystemdLab) -> None:
    first, second, third = cluster.hosts
    if third.name not in members(first):
        third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    first.run("flanpyctl", "cluster", "remove", third.name)
    code, line = refused(third, "members")
    assert "does not know this host as a member" in line, code
    one, two = first.docker.container("c1"), second.docker.container("c1")
    assert one.ping(two).ok
    assert set(members(second)) == {first.name, second.name}
    again = third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    assert "done   member" in again.stdout
    assert third.name in members(second)


def test_cluster_is_there_again_after_the_stores_host_rebooted(cluster: SystemdLab) -> None:
    first, second, _ = cluster.hosts
    first.reboot()
    eventually(
        lambda: first.docker.container("c1").ping(second.docker.container("c1")).ok,
        lambda: first.journal("flanpyd"),
        deadline=DEADLINE_S,
    )
    assert {first.name, second.name} <= set(members(first))


def test_certificates_are_renewed_by_the_unit_and_the_member_stays_the_same(cluster: SystemdLab) -> None:
    first, second, _ = cluster.hosts
    before = {host: host.read("/etc/credstore/flanpyd.etcd-certfile") for host in (first, second)}
    ids = {row["id"] for row in members(first).values()}
    for host in (first, second):
        assert host.is_active("flanpy-renew.timer")
        assert "no certificate is due" in host.run("flanpyctl", "cluster", "renew").stdout
        host.write(
            "/run/systemd/system/flanpy-renew.service.d/force.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/flanpyctl cluster renew --force\n",
        )
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "start", "flanpy-renew.service")
        assert host.read("/etc/credstore/flanpyd.etcd-certfile") != before[host]
        host.run("flanpyctl", "status", "--wait", "--timeout", "60")
    assert {row["id"] for row in members(second).values()} == ids


def test_store_moves_to_three_etcds_with_tls_and_back_while_packets_are_counted(cluster: SystemdLab) -> None:
    first, second, third = hosts = cluster.hosts
    if third.name not in members(first):
        third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    before = {name: row["subnet"] for name, row in members(first).items()}
    one, two = first.docker.container("c1"), second.docker.container("c1")
    embedded = f"https://{first.address}:2379"
    with tls_etcds(hosts, first.read("/etc/credstore/flanpyd.etcd-cafile")), Probe(one, two) as probe:
        probe.wait_flowing()
        told = first.run("flanpyctl", "store", "move", "--to", urls(hosts), "--cacert", AUTHORITY).stdout
        assert told.startswith("moved "), told
        for host in hosts:
            wait_for_place(host, f"https://{third.address}:{CLIENT_PORT}")
        first.run("systemctl", "stop", "flanpy-store")
        second.run("systemctl", "restart", "flanpyd")
        second.run("flanpyctl", "status", "--wait", "--timeout", "60")
        listed = json.loads(third.run("flanpyctl", "subnets", "-o", "json").stdout)["subnets"]
        assert {row["subnet"] for row in listed} == set(before.values())
        first.run("systemctl", "start", "flanpy-store")
        first.run("flanpyctl", "store", "move", "--to", embedded)
        for host in hosts:
            wait_for_place(host, embedded)
        probe.mark()
        report = probe.stop()
    assert report.lost == 0, report
    assert {name: row["subnet"] for name, row in members(second).items()} == before


def test_promoted_member_serves_when_the_stores_host_is_gone_and_the_old_store_stays_off(
    cluster: SystemdLab,
) -> None:
    first, second, third = cluster.hosts
    if third.name not in members(first):
        third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(first))
    before = {name: row["subnet"] for name, row in members(first).items()}
    assert refused_store(second, "promote") == 6  # it answers, so it is not gone
    eventually(
        lambda: third.exists("/var/lib/flanpy/store-copy.json"),
        lambda: third.journal("flanpyd"),
        deadline=DEADLINE_S,
    )
    one, three = second.docker.container("c1"), third.docker.run_container("c1", "--restart=always")
    eventually(lambda: three.ping(one).ok, lambda: third.journal("flanpyd"), deadline=DEADLINE_S)
    with Probe(three, one) as probe:
        probe.wait_flowing()
        first.stop()
        second.run("flanpyctl", "store", "promote")
        for host in (second, third):
            wait_to_follow(host, second, deadline=60.0)
        probe.mark()
        report = probe.stop()
    assert report.lost == 0, report
    assert {name: row["subnet"] for name, row in members(third).items()} == before
    third.run("flanpyctl", "cluster", "leave", "--force")
    third.run("flanpyctl", "cluster", "join", "-", stdin=token_of(second))
    assert third.name in members(second)
    first.boot()
    eventually(
        lambda: first.unit("flanpy-store", "ExecMainStatus")["ExecMainStatus"] == "67",
        lambda: first.journal("flanpy-store"),
        deadline=DEADLINE_S,
    )
    assert "a store of generation 2 serves this cluster" in first.journal("flanpy-store")
    wait_to_follow(first, second, deadline=DEADLINE_S)
    assert set(members(first)) == {first.name, second.name, third.name}


def refused_store(host: SystemdHost, *words: str) -> int:
    """Return the exit code of a command on the store."""
    return host.run("flanpyctl", "store", *words, check=False).returncode


def wait_to_follow(host: SystemdHost, to: SystemdHost, *, deadline: float) -> None:
    """Wait until a host's flanpyd knows that the store is at another one."""
    wait_for_place(host, f"https://{to.address}:", deadline=deadline)


def wait_for_place(host: SystemdHost, endpoint: str, *, deadline: float = DEADLINE_S) -> None:
    """Wait until a host's flanpyd knows that the store is at an endpoint."""
    path = "/var/lib/flanpy/store-place.json"
    eventually(
        lambda: host.exists(path) and endpoint in host.read(path),
        lambda: host.journal("flanpyd"),
        deadline=deadline,
    )
