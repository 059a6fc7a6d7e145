"""`flanpyctl drain` against a stand-in: words, exit codes, and what it asks of the daemon."""

from __future__ import annotations

import copy
from ipaddress import IPv4Network

import pytest

from flanpy.host import drain_file
from flanpy.host.drain_file import Drained
from flanpy.model.lease import SubnetKey
from tests.cli.conftest import GOLDEN, Ctl
from tests.cli.stand_in import STATUS, StandIn
from tests.netns import namespace

GIVEN = {"drained": True, "changed": True, "reservation": False, "subnet": "198.18.77.0/24", "subnet6": None}


def _on_an_empty_subnet(daemon: StandIn) -> None:
    status = copy.deepcopy(STATUS)
    status["own"] |= {"subnet": "198.18.77.0/24", "subnet6": None}
    daemon.answers["status"] = status


@pytest.mark.parametrize("command", ["doctor", "drain"])
def test_help_says_what_it_does_and_what_it_leaves_alone(
    ctl: Ctl, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")  # Python 3.14 would colour it
    said = ctl(command, "--help").out.partition("\nsettings of etcd")[0] + "\n"
    assert said == (GOLDEN / f"help-{command}.txt").read_text()


def test_drain_says_which_subnet_was_given_back_and_how_to_come_again(ctl: Ctl, daemon: StandIn) -> None:
    _on_an_empty_subnet(daemon)
    daemon.answers["drain"] = GIVEN
    ended = ctl("drain")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("drained: 198.18.77.0/24 was given back, and peers let go of it\n")
    assert "flanpyctl drain --undo" in ended.out
    assert daemon.asked == ["GET status", "POST drain"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"changed": False}, "drained already: 198.18.77.0/24 was given back"),
        ({"reservation": True}, "drained: 198.18.77.0/24 stays reserved for this host"),
        ({"subnet": None}, "drained: this host held no subnet, and takes none"),
    ],
)
def test_drain_says_what_was_not_given_back(
    ctl: Ctl, daemon: StandIn, changes: dict[str, object], said: str
) -> None:
    _on_an_empty_subnet(daemon)
    daemon.answers["drain"] = GIVEN | changes
    assert ctl("drain").out.splitlines()[0] == said + (", and peers send nothing to it" * ("stays" in said))


def test_undo_goes_alone_and_says_whether_anything_changed(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["undrain"] = {"drained": False, "changed": True}
    assert "takes part again" in ctl("drain", "--undo").out
    daemon.answers["undrain"] = {"drained": False, "changed": False}
    assert ctl("drain", "--undo").out == "this host takes part already\n"
    for word in ("--wait", "--force", "--cleanup"):
        assert ctl("drain", "--undo", word).code == 2


def test_drain_exits_3_without_a_daemon_and_says_what_to_do_instead(ctl: Ctl) -> None:
    ended = ctl("drain")
    assert ended.code == 3
    assert "flanpyctl cleanup --release" in ended.err


@pytest.mark.netns
def test_drain_cleanup_removes_no_file_because_a_daemon_names_it(ctl: Ctl, daemon: StandIn) -> None:
    """L5: the daemon's user chooses what the daemon says, and root removes."""
    _on_an_empty_subnet(daemon)
    named = ctl.run_dir / "other.env"
    text = "FLANNEL_NETWORK=198.18.0.0/16\nFLANNEL_SUBNET=198.18.77.1/24\nFLANNEL_MTU=1450\n"
    named.write_text(text)
    drain_file.mark(ctl.run_dir / "state", Drained(SubnetKey(IPv4Network("198.18.77.0/24"))))
    daemon.answers["drain"] = GIVEN
    daemon.answers["config"] = [{"name": "subnet-file", "value": str(named)}]
    with namespace("drain") as here:
        ended = here.do(lambda: ctl("drain", "--cleanup"))
    assert (ended.code, named.read_text()) == (0, text)
    assert f"flanpyd names {named}, which no setting here does: it stays, or say --subnet-file" in ended.out
