"""Fixtures for everybody: a real etcd, shared or private; logging as it is before anybody configures it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
import structlog
from hypothesis import settings

from flanpy.store.session.settings import EtcdSettings
from tests.etcd_server import EmbeddedStore, EtcdCluster

# No test asserts on wall-clock speed: a busy machine takes a second for what takes a millisecond.
settings.register_profile("flanpy", deadline=None)
settings.load_profile("flanpy")

ASKED_FOR = ("more_engines", "guest")

_numbers = count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need fetched engines, much time or another kernel, unless `-m` asks for them.

    `make test-engines` and `make test-wireguard` do.
    """
    away = [name for name in ASKED_FOR if name not in config.getoption("markexpr")]
    left_out = [item for item in items if any(map(item.get_closest_marker, away))]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@dataclass(frozen=True)
class EtcdSpace:
    """A prefix of its own in an etcd that other tests use too: do not stop it, compact it, or list outside."""

    cluster: EtcdCluster | EmbeddedStore
    prefix: str

    @property
    def settings(self) -> EtcdSettings:
        return self.cluster.settings()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Reset logging after each test, so that one test's level or form does not decide what the next one sees."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def _shared_etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster.started() as cluster:
        yield cluster


@pytest.fixture
def etcd(_shared_etcd: EtcdCluster) -> EtcdSpace:
    """The etcd of this test process (one per xdist worker), and a key prefix that no other test has."""
    return EtcdSpace(_shared_etcd, f"/test-{next(_numbers)}")


@pytest.fixture(scope="session")
def _shared_store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore.started() as store:
        yield store


@pytest.fixture
def embedded(_shared_store: EmbeddedStore) -> EtcdSpace:
    """The same as `etcd`, on the embedded store."""
    return EtcdSpace(_shared_store, f"/test-{next(_numbers)}")


@pytest.fixture
def etcd_server() -> Iterator[EtcdCluster]:
    """An etcd of the test's own, to be killed, frozen, wiped."""
    with EtcdCluster.started() as cluster:
        yield cluster
