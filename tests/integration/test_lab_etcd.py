"""The lab's etcd is a real cluster whose members can be killed, frozen, restarted, wiped and compacted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.lab import Lab, LabError

pytestmark = [pytest.mark.netns, pytest.mark.etcd]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three etcd members and one host; all members serve before each test."""
    with Lab(hosts=1, etcd_members=3, program=("sleep", "infinity")) as built:
        yield built


@pytest.fixture(autouse=True)
def _every_member_serves_again(lab: Lab) -> Iterator[None]:
    yield
    lab.etcd.thaw()
    lab.etcd.start()


def test_etcd_members_are_reached_from_a_host(lab: Lab) -> None:
    assert lab.etcd.endpoints == "http://10.99.0.2:2379,http://10.99.0.3:2379,http://10.99.0.4:2379"
    for member in lab.etcd.members:
        assert lab.hosts[0].run("ping", "-c1", "-q", member.address).returncode == 0


def test_etcd_keeps_its_data_when_restarted_and_loses_it_when_wiped(lab: Lab) -> None:
    lab.etcd.api.put("/kept", "yes")
    lab.etcd.restart()
    assert lab.etcd.api.get("/kept") is not None
    lab.etcd.wipe()
    assert lab.etcd.api.get("/kept") is None


def test_etcd_serves_when_one_member_of_three_is_killed(lab: Lab) -> None:
    lab.etcd.members[0].kill()
    lab.etcd.wait_quorum()
    assert lab.etcd.api.put("/majority", "yes") > 0


def test_frozen_etcd_answers_nobody_until_thawed(lab: Lab) -> None:
    lab.etcd.api.put("/before", "yes")
    lab.etcd.freeze()
    lab.etcd.api.timeout = 0.3
    with pytest.raises(LabError, match="TimeoutError"):
        lab.etcd.api.put("/frozen", "no")
    lab.etcd.thaw()
    lab.etcd.api.timeout = 5
    lab.etcd.wait_quorum()
    assert lab.etcd.api.get("/before") is not None


def test_etcd_that_is_killed_refuses_calls(lab: Lab) -> None:
    lab.etcd.kill()
    with pytest.raises(LabError, match="no etcd member runs"):
        lab.etcd.api.put("/dead", "no")


def test_lease_that_is_revoked_takes_its_keys_with_it(lab: Lab) -> None:
    lease = lab.etcd.api.grant(60)
    lab.etcd.api.put("/leased", "yes", lease=lease)
    assert 0 < lab.etcd.api.time_to_live(lease) <= 60
    lab.etcd.api.revoke(lease)
    assert lab.etcd.api.get("/leased") is None
    assert lab.etcd.api.time_to_live(lease) == -1


def test_compaction_forgets_the_history(lab: Lab) -> None:
    first = lab.etcd.api.put("/again", "1")
    lab.etcd.api.put("/again", "2")
    lab.etcd.api.compact()
    with pytest.raises(LabError, match="compacted"):
        lab.etcd.api.call("/v3/kv/range", {"key": "L2FnYWlu", "revision": first})


def test_prefix_is_listed_and_deleted_whole(lab: Lab) -> None:
    lab.etcd.api.put_all([(f"/many/{n:04}", str(n)) for n in range(250)])
    assert [entry.value for entry in lab.etcd.api.list("/many/")] == [str(n) for n in range(250)]
    assert lab.etcd.api.delete("/many/0000") == 1
    assert lab.etcd.api.delete_prefix("/many/") == 249
