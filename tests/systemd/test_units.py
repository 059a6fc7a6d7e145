"""The files of deployment, judged by systemd's own tools on the hosts' file system; nothing is booted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from integration.hosts.systemd import rootfs
from integration.hosts.systemd.program import INSTALL

pytestmark = pytest.mark.lab

UNITS = (
    "flanpyd.service", "flanpy-docker.service", "flanpy-docker-changed.service", "flanpy-docker.path", "docker.service",
    "flanpy-store.service", "flanpy-docker-networks.service", "flanpy-docker-networks.path",
    "flanpy-docker-names.service",
    "flanpy-docker-links.service", "flanpy-docker-links.path", "flanpy-renew.service", "flanpy-renew.timer",
)  # fmt: skip
MOST_EXPOSED = 25
KERNEL_UDP = "/usr/share/flanpy/kernel-udp.conf"
DROP_IN = "/etc/systemd/system/flanpyd.service.d/kernel-udp.conf"
DEPLOY = INSTALL.parent


def _on_a_host(layer: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the host's file system at $1; it is mounted in a namespace that goes with the script."""
    mount = f'mount -t overlay overlay -o "lowerdir={layer}:{rootfs()}" "$1"'
    with_root = f"set -e; d=$(mktemp -d); trap 'rmdir \"$d\"' EXIT; unshare --mount sh -c '{mount}; {script}' sh \"$d\""
    return subprocess.run(["sh", "-c", with_root], capture_output=True, text=True, timeout=120, check=False)


def test_units_are_clean_when_systemd_verifies_them(layer: Path) -> None:
    verified = _on_a_host(layer, f'systemd-analyze verify --man=no --root="$1" {" ".join(UNITS)}')
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize(("unit", "most"), [("flanpyd.service", MOST_EXPOSED), ("flanpy-store.service", 15)])
def test_service_is_exposed_no_more_than_allowed(layer: Path, unit: str, most: int) -> None:
    judged = _on_a_host(
        layer, f'systemd-analyze security --offline=true --root="$1" --threshold={most} {unit}'
    )
    assert judged.returncode == 0, judged.stdout[-300:] + judged.stderr


def test_service_is_exposed_no_more_than_allowed_when_the_kernel_carries_udp(
    layer: Path, tmp_path: Path
) -> None:
    place = tmp_path / DROP_IN.lstrip("/")
    place.parent.mkdir(parents=True)
    place.write_bytes((layer / KERNEL_UDP.lstrip("/")).read_bytes())
    tmp_path.chmod(0o755)
    judged = _on_a_host(
        Path(f"{tmp_path}:{layer}"),
        'systemd-analyze cat-config --root="$1" systemd/system/flanpyd.service.d/kernel-udp.conf >/dev/null; '
        f'systemd-analyze security --offline=true --root="$1" --threshold={MOST_EXPOSED} flanpyd.service',
    )
    assert judged.returncode == 0, judged.stdout[-300:] + judged.stderr
    assert "✗ CapabilityBoundingSet=~CAP_BPF" in judged.stdout


def test_every_file_of_deployment_is_installed() -> None:
    there = {entry.name for entry in DEPLOY.iterdir()} - {"install.sh"}
    script = INSTALL.read_text().split("<<END\n")[1].split("\nEND")[0]
    assert {line.split()[0] for line in script.splitlines()} == there
