"""The errors of the first hour: what was typed, and the one line that names the thing and the command to type next."""

from __future__ import annotations

from argparse import Namespace

import pytest

from flanpy.backend.registry import BACKENDS
from flanpy.cli.base.host import Host
from flanpy.model.network.fields import BACKEND_OPTIONS
from tests.cli.conftest import Ctl, Network
from tests.cli.stand_in import StandIn
from tests.netns import namespace

NOWHERE = ("--etcd-endpoints", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["network", "init", "10.50.0.0/33"], "nearest: 10.50.0.0/16"),
        (["network", "init", "10.50.0.0"], "nearest: 10.50.0.0/16"),
        (["network", "init", "10.50.0/20"], "nearest: 10.50.0.0/20"),
        (["network", "init", "10.500.0.0/16"], "CIDR form, as 10.5.0.0/16"),
        (["network", "init", "fd50::/48"], "a range of the other family is IPv6Network"),
        (["network", "init", "8.8.0.0/16"], "set allowed-network to 8.8.0.0/16"),
        (["subnets"], "see that it runs and can be reached"),
        (
            ["network", "init", "10.50.0.0/16", "--backend", "vxlam"],
            "extension, alloc, aws-vpc, gce (nearest: vxlan)",
        ),
        (["subnet"], "see that it runs and can be reached"),
        (["status"], "systemctl start flanpyd"),
        (["peer"], "systemctl start flanpyd"),
        (["ping", "web-2"], "systemctl start flanpyd"),
        (["trace", "10.50.1"], "systemctl start flanpyd"),
        (["ping", "--all", "web-2"], "leave out 'web-2', or --all"),
        (["stauts"], "did you mean 'status'?"),
        (["docker", "aply"], "did you mean 'apply'?"),
        (["completion", "bsh"], "no shell 'bsh'; did you mean 'bash'?"),
        (["help", "statsu"], "did you mean 'status'?"),
        (["nosuch"], "there are cluster, network, networks, names, subnets, status"),
        (["status", "--jsn"], "did you mean '-o json'?"),
        (["status", "--json"], "did you mean '-o json'?"),
        (["status", "-o", "jsn"], "did you mean 'json'?"),
        (["doctor", "--fixx"], "did you mean '--fix'?"),
        (["status", "--etcd-endpoint", "x"], "did you mean '--etcd-endpoints'?"),
        (["docker", "plan"], "is flanpyd running?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_with_one_line_that_says_what_to_do(
    words: list[str], said: str, ctl: Ctl
) -> None:
    ended = ctl(*words, *(NOWHERE if words[0] in {"network", "subnets"} else ()))
    assert ended.code != 0
    assert ended.err.count("\n") == 1
    assert said in ended.err
    for foreign in ("Traceback", "StatusCode", "FAILED_PRECONDITION", "ipv4:", "grpc"):
        assert foreign not in ended.err, "a library's words"


@pytest.mark.etcd
@pytest.mark.parametrize(
    ("before", "words", "code", "said"),
    [
        ("", ["network"], 4, "flanpyctl network init"),
        ("", ["network", "set", "10.60.0.0/16"], 2, "flanpyctl network show -o json > network.json"),
        ('{"Network":"10.50.0.0/16"}', ["network", "init", "10.60.0.0/16"], 6, "flanpyctl network set"),
        ('{"Network":"10.50.0.0/16"}', ["subnets", "show", "web-9"], 4, "flanpyctl subnets"),
        ('{"Network":', ["network"], 1, "flanpyctl network set FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_order_of_first_steps_is_told(
    before: str, words: list[str], code: int, said: str, network: Network
) -> None:
    if before:
        network.configure(before)
    ended = network(*words)
    assert (ended.code, said in ended.err, ended.err.count("\n")) == (code, True, 1), ended


@pytest.mark.etcd
def test_encrypted_and_plain_etcd_mixed_up_are_told(network: Network) -> None:
    ended = network.ctl("network", "--etcd-endpoints", network.url.replace("http://", "https://"))
    assert ended.code == 3
    assert "http://" in ended.err
    assert ended.err.count("\n") == 1


def test_backends_that_are_refused_are_never_offered() -> None:
    assert set(BACKEND_OPTIONS) == set(BACKENDS)


def test_name_of_etcd_that_does_not_exist_is_told_as_such(ctl: Ctl) -> None:
    ended = ctl("subnets", "--etcd-endpoints", "http://nosuchhost.invalid:2379")
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "no such name" in ended.err
    assert "syscall" not in ended.err


@pytest.mark.etcd
def test_command_takes_from_the_running_daemon_what_is_set_nowhere(
    ctl: Ctl, daemon: StandIn, network: Network
) -> None:
    told = {"etcd-endpoints": network.url, "etcd-prefix": network.prefix, "etcd-password": "********"}
    daemon.answers["config"] = [
        {"name": name, "value": value, "origin": f"flag --{name}"}
        for name, value in told.items()
        if name != "etcd-password"
    ]
    network.configure('{"Network":"10.50.0.0/16"}')
    assert ctl("network").out.startswith("Network       10.50.0.0/16")
    assert "refused" in ctl("network", *NOWHERE).err.lower(), "what is typed counts more"


def test_command_takes_no_command_and_no_file_that_it_writes_from_the_daemon(
    ctl: Ctl, daemon: StandIn
) -> None:
    """The daemon's user is not root, whose commands these are."""
    lent = ("docker-restart-command", "docker-config-file", "docker-socket", "state-dir", "extension-command")
    daemon.answers["config"] = [
        {"name": name, "value": "/somewhere/theirs", "origin": f"flag --{name}"} for name in lent
    ]
    host = Host(Namespace())
    assert host.effective == host.settings


@pytest.mark.netns
@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["10.99.0.0/16"], "10.99.0.0/16"),
        (["10.98.0.0/15"], "10.99.0."),
        (["10.0.0.0/8"], "10.99.0."),
        (["10.0.0.0/8", "--subnet-min", "10.50.0.0", "--subnet-max", "10.60.0.0"], ""),
        (["10.50.0.0/16"], ""),
        (["10.99.0.0/16", "--force"], ""),
    ],
    ids=" ".join,
)
def test_network_over_the_hosts_own_ranges_is_refused_unless_forced(
    words: list[str], taken: str, ctl: Ctl
) -> None:
    with namespace() as here:
        for line in ("link add lan0 type bridge", "address add 10.99.0.2/16 dev lan0", "link set lan0 up"):
            here.ip(line)
        ended = here.do(lambda: ctl("network", "init", *words, *NOWHERE))
    assert ended.code == (7 if taken else 3), ended
    assert ("overlaps what this host uses: " in ended.err) == bool(taken)
    assert taken in ended.err
