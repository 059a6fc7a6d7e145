"""The cause that is read from what nft and iptables say when they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from flanpy.errors import KernelCause, KernelError
from flanpy.model.address import Family
from flanpy.model.packet_filter import Flavour
from flanpy.netfilter.tools import Tools, run

UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")


def _cause(*argv: str) -> KernelCause:
    with pytest.raises(KernelError) as failed:
        run(argv)
    return failed.value.cause


def test_program_that_is_not_here_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flanpy.netfilter.tools._SEARCH", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(KernelError, match="nft is not installed") as failed:
        Tools().argv(Flavour.NFT, Family.IPV4, "restore")
    assert failed.value.cause is KernelCause.NO_TOOL


@pytest.mark.netns
def test_missing_capability_is_the_cause() -> None:
    assert _cause("unshare", "-n", *UNPRIVILEGED, "nft", "list", "ruleset") is KernelCause.NOT_PERMITTED


@pytest.mark.netns
def test_lock_that_cannot_be_opened_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTABLES_LOCKFILE", "/nonexistent/xtables.lock")
    assert _cause("unshare", "-n", "iptables-legacy", "-w", "-L") is KernelCause.LOCKED


def test_other_failures_have_no_cause_of_their_own() -> None:
    assert _cause("false") is KernelCause.OTHER


def test_default_follows_a_change_of_the_alternatives_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("flanpy.netfilter.tools._SEARCH", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = Tools()
    assert tools.present() == (frozenset(), None)
    for kind, flavour in (("nft", Flavour.IPTABLES_NFT), ("legacy", Flavour.IPTABLES_LEGACY)):
        for name in (f"iptables-{kind}", f"iptables-{kind}-restore"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "link").symlink_to(f"iptables-{kind}")
        (tmp_path / "link").rename(tmp_path / "iptables")
        found, default = tools.present()
        assert default is flavour
        assert flavour in found


def test_search_is_not_repeated_while_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("flanpy.netfilter.tools._SEARCH", ())
    monkeypatch.setattr("flanpy.netfilter.tools._SEARCH_AGE", 3600.0)
    monkeypatch.setenv("PATH", str(tmp_path))
    searches: list[str] = []
    tools = Tools()
    tools.present()
    monkeypatch.setattr("flanpy.netfilter.tools._which", searches.append)
    for _ in range(3):
        tools.present(), tools.default()
    assert searches == []
    (tmp_path / "nft").touch()
    tools.default()
    assert searches != []
