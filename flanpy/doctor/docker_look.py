"""One look at Docker where no daemon has looked, judged by the same words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flanpy.docker.survey import look as look_at
from flanpy.docker.verdict import DockerStandard, Mode, judge
from flanpy.docker.wanted import wanted
from flanpy.host.subnet_env import SubnetEnv
from flanpy.model.condition import Condition


def look(settings: Mapping[str, str], env: SubnetEnv) -> Condition:
    """The condition DockerConsistent. Raises DockerError where subnet.env has nothing for Docker."""
    asked = wanted(env.network, env.subnet, env.mtu, ipmasq=env.ipmasq, subnet6=env.ipv6_subnet)
    mode = Mode(settings.get("docker-mode") or "auto")
    socket, file = settings.get("docker-socket", ""), settings.get("docker-config-file", "")
    found = look_at(Path(socket or "/run/docker.sock"), Path(file or "/etc/docker/daemon.json"), asked)
    accepts = settings.get("iptables-forward-rules") != "false"
    return judge(found, DockerStandard(mode=mode, wanted=asked, accepts=accepts))
