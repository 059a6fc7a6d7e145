"""One host with a real dockerd for a whole module; each test starts on a Docker that nobody has told anything."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from integration.hosts.engines import DockerHost, DockerLab
from integration.lab import LabError, flanpyctl
from tests.docker_logs import add_logs, standing

SUBNET_ENV = """\
FLANNEL_NETWORK=10.50.0.0/16
FLANNEL_SUBNET=10.50.7.1/24
FLANNEL_MTU={mtu}
FLANNEL_IPMASQ={ipmasq}
"""
ASIDE = "172.17.0.1/16"
"""docker0's range in a Docker that knows nothing of us. It is said, as Docker would keep the last one it had."""


class Wired:
    """flanpyctl docker on one host, with a subnet.env of the test's making."""

    def __init__(self, lab: DockerLab) -> None:
        self.lab = lab
        self.host: DockerHost = lab.hosts[0]
        self.engine = self.host.engine
        self.subnet_file = self.host.daemon.directory / "by-hand.env"

    def reset(self) -> None:
        """No containers and networks, the usual settings, a Docker that runs with them."""
        with suppress(LabError):
            self.engine.thaw()
        self.lease()
        flags = self.host.path("/etc/default/docker")
        flagged = flags.exists()
        flags.unlink(missing_ok=True)
        for left in ("daemon.json.flanpy-backup", "site.json.flanpy-backup", "site.json"):
            self.engine.daemon_json_path.with_name(left).unlink(missing_ok=True)
        settings = {"bip": ASIDE}
        self.engine.daemon_json_path.unlink(missing_ok=True)
        if not self.engine.running:
            self.engine.start(bip=ASIDE)
        self.engine.remove_containers()
        self.engine.configure(settings)
        if flagged or self.live_restore or self.engine.bridge_network() != ("172.17.0.0/16", 1500):
            self.engine.restart()

    @property
    def live_restore(self) -> bool:
        return self.engine.docker("info", "-f", "{{.LiveRestoreEnabled}}").stdout.strip() == "true"

    def lease(self, mtu: int = 1450, *, ipmasq: bool = False) -> None:
        """Write subnet.env."""
        self.subnet_file.write_text(SUBNET_ENV.format(mtu=mtu, ipmasq=str(ipmasq).lower()))

    def ctl(self, *words: str, dns_listen: str = "off") -> subprocess.CompletedProcess[str]:
        """`flanpyctl docker WORDS` on the host."""
        settings = ("env", f"FLANPYD_DNS_LISTEN={dns_listen}")
        return self.host.run(
            *settings,
            *flanpyctl(),
            "docker",
            *words,
            f"--subnet-file={self.subnet_file}",
            check=False,
            timeout=110,
        )

    @property
    def file(self) -> str:
        return self.engine.daemon_json_path.read_text()


@pytest.fixture(scope="module")
def _lab() -> Iterator[DockerLab]:
    with DockerLab(1) as lab, standing(lab):
        yield lab


@pytest.fixture
def wired(_lab: DockerLab) -> Wired:
    """A host whose Docker runs, and knows nothing of us."""
    here = Wired(_lab)
    here.reset()
    return here


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # what pluggy sends is not typed
    if report.failed and "tests/docker" in item.nodeid:
        add_logs(report)
