"""The surroundings of a process do not decide where etcd is looked for: web proxies, nameservers that do not answer."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.etcd_server import EtcdCluster

pytestmark = pytest.mark.etcd

FLANPYCTL = str(Path(sys.executable).with_name("flanpyctl"))
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster.started() as etcd:
        etcd.ctl("put", "/coreos.com/network/config", '{"Network": "10.50.0.0/16"}')
        yield etcd


def show(*before: str, endpoint: str, environment: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        [*before, FLANPYCTL, "network", "show", f"--etcd-endpoints={endpoint}"],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("upper", [False, True], ids=["lower", "upper"])
def test_etcd_is_not_looked_for_behind_a_web_proxy_of_the_environment(
    etcd: EtcdCluster, host: str, *, upper: bool
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        told = {name.upper() if upper else name: url for name in PROXIES}
        endpoint = f"http://{host}:{etcd.members[0].client_port}"
        assert "10.50.0.0/16" in show(endpoint=endpoint, environment={**os.environ, **told})
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_name_of_etcd_in_the_hosts_file_needs_no_nameserver(etcd: EtcdCluster, tmp_path: Path) -> None:
    """An IPv4 address only, and a nameserver that takes questions and answers none."""
    hosts, nameservers = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.1 etcd.flanpy.test\n")
    nameservers.write_text("nameserver 127.53.53.53\noptions timeout:30\n")
    bound = " && ".join(
        f"mount --bind {shlex.quote(str(ours))} $(realpath {theirs})"
        for ours, theirs in ((hosts, "/etc/hosts"), (nameservers, "/etc/resolv.conf"))
    )
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dead:
        dead.bind(("127.53.53.53", 53))
        before = ("unshare", "--mount", "sh", "-c", f'{bound} && exec "$0" "$@"')
        endpoint = f"http://etcd.flanpy.test:{etcd.members[0].client_port}"
        assert "10.50.0.0/16" in show(*before, endpoint=endpoint)
