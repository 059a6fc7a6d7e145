"""Sysctls: on files for the words, on the real kernel for the effect."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flanpy.errors import KernelError
from flanpy.host.sysctl import FORWARDING, SysctlFiles
from flanpy.model.address import Family

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, value in {"net/ipv4/ip_forward": "0\n", "net/ipv4/conf/eth0.100/rp_filter": "2\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value)
    return tmp_path


def test_read_gives_the_value_of_a_link_with_a_dot_in_its_name(tree: Path) -> None:
    assert SysctlFiles(tree).read("net/ipv4/conf/eth0.100/rp_filter") == "2"


def test_write_says_whether_it_changed_anything(tree: Path) -> None:
    sysctls = SysctlFiles(tree)
    assert sysctls.write("net/ipv4/ip_forward", "1")
    assert not sysctls.write("net/ipv4/ip_forward", "1")
    assert sysctls.read("net/ipv4/ip_forward") == "1"


@pytest.mark.parametrize("write", [False, True])
def test_missing_setting_is_named_and_not_made(tree: Path, write: bool) -> None:
    sysctls = SysctlFiles(tree)
    with pytest.raises(KernelError, match=r"sysctl net/ipv4/nonsense.*no such setting") as caught:
        sysctls.write("net/ipv4/nonsense", "1") if write else sysctls.read("net/ipv4/nonsense")
    assert caught.value.errno == errno.ENOENT
    assert not (tree / "net/ipv4/nonsense").exists()


def test_family_that_the_kernel_has_off_does_not_forward(tree: Path) -> None:
    assert not SysctlFiles(tree).forwards(Family.IPV6)
    with pytest.raises(KernelError) as caught:
        SysctlFiles(tree).enable_forwarding(Family.IPV6)
    assert caught.value.errno == errno.ENOENT


# A process of its own in fresh network and mount namespaces: the machine's settings stay as they are.
_IN_NAMESPACE = """
import subprocess, sys
from flanpy.errors import KernelError
from flanpy.host.sysctl import SysctlFiles
from flanpy.model.address import Family
sysctls = SysctlFiles()
for family in Family:
    sysctls.write({Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}[family], "0")
    assert not sysctls.forwards(family)
    assert sysctls.enable_forwarding(family)
    assert sysctls.forwards(family)
    assert not sysctls.enable_forwarding(family)
try:
    sysctls.write("net/ipv4/conf/lo/rp_filter", "many")
except KernelError as error:
    print(error.errno, error)
subprocess.run(["mount", "--bind", "/proc/sys", "/proc/sys"], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
assert not sysctls.enable_forwarding(Family.IPV4)
try:
    sysctls.write("net/ipv4/ip_forward", "0")
except KernelError as error:
    print(error.errno, error)
"""


@root_only
@pytest.mark.netns
def test_p04_forwarding_is_turned_on_in_the_real_kernel_and_refusals_are_named() -> None:
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-c", _IN_NAMESPACE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    invalid, read_only = done.stdout.splitlines()
    assert invalid == f"{errno.EINVAL} cannot set sysctl net/ipv4/conf/lo/rp_filter to many: Invalid argument"
    assert read_only.startswith(f"{errno.EROFS} cannot set sysctl net/ipv4/ip_forward to 0 (set it outside")
    assert read_only.endswith("Read-only file system")


def test_forwarding_names_are_those_of_the_kernel() -> None:
    assert [Path("/proc/sys", name).exists() for name in FORWARDING.values()] == [True, True]


@pytest.mark.parametrize("link", ["../../../kernel/core_pattern=|/x", "..", "a/../b", "", "x\0y"])
def test_names_lead_nowhere_but_below_the_root_whatever_link_they_hold(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "core_pattern"
    outside.write_text("core\n")
    (tmp_path / "sys/net/ipv4/conf/all").mkdir(parents=True)
    for name in (f"net/ipv4/conf/{link}/rp_filter", str(outside), "../core_pattern"):
        with pytest.raises(KernelError, match="no such setting") as refused:
            SysctlFiles(tmp_path / "sys").write(name, "2")
        assert refused.value.errno == errno.ENOENT
    assert outside.read_text() == "core\n"
