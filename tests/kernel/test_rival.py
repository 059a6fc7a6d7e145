"""A rival that alters a setting right after we wrote it, before we have heard of our own change: it must be heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.sysctl import ProcSysctls
from flanpy.model.objects import HostSysctl
from flanpy.model.ops import Put

SETTING = HostSysctl("net.ipv4.ip_forward", "1")


class Rival(ProcSysctls):
    """Sets it again at once, so often."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self._times = times

    def write(self, path: str, value: str) -> None:
        super().write(path, value)
        if self._times:
            self._times -= 1
            super().write(path, "0")


@pytest.mark.parametrize(("times", "undone"), [(0, 0), (1, 1)])
def test_p04_setting_that_is_altered_right_after_we_wrote_it_is_told_of(
    tmp_path: Path, times: int, undone: int
) -> None:
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("0")
    said: list[str] = []
    kernel = NetlinkKernel(sysctls=Rival(tmp_path, times))
    try:
        kernel.tell(lambda _: said.append("written"), lambda: None, lambda: said.append("undone"))
        assert asyncio.run(kernel.apply([Put(SETTING)])) == ()
    finally:
        kernel.close()
    assert said == ["written", *["undone"] * undone], "looked at only once the echo is taken"
