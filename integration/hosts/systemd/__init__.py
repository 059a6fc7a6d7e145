"""The lab with hosts that boot: systemd as their first process, real Docker, ssh, and a real reboot.

with SystemdLab(hosts=2) as lab:
    lab.boot()
    lab.hosts[0].run("systemctl", "status")
"""

from integration.hosts.systemd.docker import HostDocker
from integration.hosts.systemd.host import SystemdHost
from integration.hosts.systemd.lab import SystemdLab, rootfs

__all__ = ["HostDocker", "SystemdHost", "SystemdLab", "rootfs"]
