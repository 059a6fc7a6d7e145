"""Types the blocks of the page on the container image on a host of the lab."""

from __future__ import annotations

import re

from integration import package
from integration.hosts.engines import DockerHost


def typed(host: DockerHost, block: str) -> str:
    """Type a block of the page; its output."""
    for said, meant in {
        "flanpy-image-0.1.0-amd64.tar.gz": str(package.built_image()),
        "http://192.0.2.10:2379": host.daemon.endpoints,
        "flanpy:0.1.0": f"flanpy:{image_version()}",
    }.items():
        block = block.replace(said, meant)
    return host.run("sh", "-ec", block, timeout=240).stdout


def image_version() -> str:
    """Return the version that the image is tagged with."""
    found = re.fullmatch(r"flanpy-image-(.+)-\w+\.tar\.gz", package.built_image().name)
    assert found is not None
    return found[1]


def stay_in_the_lab(host: DockerHost) -> None:
    """Add to the page's settings the lab's own place in etcd."""
    prefix = host.daemon.environment["FLANPYD_ETCD_PREFIX"]
    host.run("sh", "-ec", f"echo FLANPYD_ETCD_PREFIX={prefix} >> /etc/flanpyd.env")
