"""The page of systems: what was tested where. The Pythons are those that the project declares."""

from __future__ import annotations

import re
import tomllib

from docs.generate.markdown import NOTE
from docs.generate.source import ROOT

ENGINES = ("20.10", "26.1", "28.5")
"""The Docker engines of the tests, the system's first; a test holds them equal to the lab's."""

_ABOUT = """\
# Systems

What was tested, on which system, and by what. What is not in these tables was not tried; that it should work is no reason to say that it does.

## Hosts

| system | tested there | by |
|---|---|---|
| Debian 12, amd64 | everything: package, units, Docker, Ansible roles, every backend, faults, chaos | `make test` on booted hosts and in namespaces |
| Debian 13, amd64 | the package on booted hosts: installed, started, packets, upgrade, purge; the tutorial, *Upgrade* and *Uninstall* as a reader types them, with its Docker 26.1 and etcd 3.5; its Docker and its Python on a Debian 12; `make demo` in a fresh clone on a bare one; the Ansible roles with TLS and passwords | `make test-engines`, `make check`, `sh integration/clean_clone.sh trixie make demo` |
| Ubuntu 24.04, amd64 | the package on booted hosts, on its Python 3.12: installed, started, packets, upgrade, purge; the Ansible roles with TLS and passwords, and containers of its Docker 29.1 | `make test-engines` |
| Ubuntu 22.04, amd64 | the same, on the Python 3.11 of its archive beside its own 3.10. The Ansible roles with TLS and passwords, with its etcd 3.3 | `make test-engines` |
| systems with RPM (RHEL 9 and its family, Fedora, openSUSE) | the RPM package by rpm itself on a booted Debian 12: installed, started, upgraded, erased; not on such a system, of none of which an archive was within reach, so neither with SELinux nor with Docker's own packages there | `make test` |
| arm64 | the packages and the container image are built; `flanpyd --version`, `flanpyctl version` and `config show` run under qemu-user, with the compiled libraries loaded, and the image's ip and setpriv; no daemon, no kernel | `make test-engines` |

The package is for Python 3.11 to 3.14. Where there is neither of its kinds, pip and `flanpyctl host install` do what it does: see
[The service on a host](../explanation/service.md).

## Python

| Python | tested |
|---|---|
"""
_ENGINES = """
## Docker

| engine | tested |
|---|---|
"""
_REST = """
29.7.2, built by hand from its sources and run by hand with Docker's command line 28.5 and runc 1.3: the same tests pass, those of `filter-backend: nft` too. As on every
engine, rules in plain nftables do not overrule Docker's own drops in iptables; `filter-backend: auto` does. An engine that stands beside the fetched ones (in
`~/.cache/flanpy/engines/29.7`, with its `usr`) is found by the tests of the container image, which pass there, too.

## Artefacts

Built twice, each is the same to the byte. `make test-engines` shows it, and has the tests of the last column that `make test` has not.

| artefact | size, amd64 | before | installed or started by a test |
|---|---|---|---|
| `make deb`, compiled libraries for four Pythons | 24 MB packed, 139 MB installed | 36 MB, for one Python | on booted Debian 12 and 13, Ubuntu 22.04 and 24.04: life, upgrade, purge (`make test` and more) |
| `DEB_PYTHON=3.13 DEB_COMPILED=no make deb` | less than 12 MB | | on a booted Debian 13 |
| `make rpm`, the same tree | 40 MB: xz with a small dictionary, which every rpm reads | | on a booted Debian 12 by rpm (`make test`) |
| `make image` | 42 MB | | on two hosts with Docker and Podman |
| `make zipapp`, flanpyctl alone | 12 MB | | in a bare home, against a real etcd (`make test`) |
| `make wheel`, without what it depends on | 1.2 MB | | by pip from the hashed lock in a virtualenv of two booted hosts without a network, as a service |

## Other software

| software | tested |
|---|---|
| etcd 3.4.23, 3.5.1, 3.5.16 | as the store, with TLS and users |
| flannel | its records in etcd, its settings, its subnet.env, taking over from it and going back |
| CNI plugins bridge and portmap 1.1.1 | on two hosts with the file of [CNI, Nomad and Podman](../howto/cni.md), with a published port |
| Podman 4.3.1 with netavark 1.4.0, as root | on two hosts with the network of [CNI, Nomad and Podman](../howto/cni.md) |
| the container image | on Docker 20.10, 26.1, 28.5 and 29.7 with iptables on nftables, on 20.10 with iptables-legacy: two hosts, upgrade, restart of Docker, undo; by Podman 4.3.1: two hosts, undo; by the commands of [In a container](../howto/image.md); not with AppArmor, as the kernel that the tests have is built without it, nor by Podman |
| Nomad, nerdctl | not tested |
| NetworkManager, systemd-networkd, ufw, firewalld, nftables | beside flanpyd on booted Debian 12 hosts |
"""


def page() -> str:
    """Return the page."""
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(_classifiers()))
    pythons = [f"| {declared[0]} | everything |"]
    pythons += [
        f"| {one} | all tests that need neither root nor an etcd (`make check`) |" for one in declared[1:]
    ]
    engines = [f"| {ENGINES[0]} | everything, with iptables on nftables and the legacy one |"]
    engines += [
        f"| {one} | `make test-engines`: both modes, packet filter, restarts, upgrades |"
        for one in ENGINES[1:]
    ]
    return f"{NOTE}\n\n{_ABOUT}" + "\n".join(pythons) + f"\n{_ENGINES}" + "\n".join(engines) + f"\n{_REST}"


def _classifiers() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return found
