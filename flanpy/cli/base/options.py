"""Names of flanpyd's settings that commands accept as flags, by subject."""

from __future__ import annotations

from typing import Final

ETCD_OPTIONS: Final = (
    "etcd-endpoints",
    "etcd-prefix",
    "etcd-keyfile",
    "etcd-certfile",
    "etcd-cafile",
    "etcd-username",
    "etcd-password",
)
HOST_OPTIONS: Final = ("node-id", "run-dir", "state-dir", "subnet-file", "config")
OPTIONS: Final = (*ETCD_OPTIONS, *HOST_OPTIONS)
DOCKER_OPTIONS: Final = (
    "docker-mode",
    "docker-socket",
    "docker-config-file",
    "docker-restart",
    "docker-restart-command",
    "docker-restart-timeout",
)
