"""The table of backends: what is there, and what is said of what is not."""

from __future__ import annotations

import pytest

from flanpy.backend.registry import BACKENDS, backend_for
from flanpy.errors import ConfigError
from flanpy.model.network.fields import BACKEND_OPTIONS


def test_every_backend_there_is_has_a_name_of_flannels() -> None:
    assert set(BACKENDS) <= set(BACKEND_OPTIONS)
    assert all(backend_for(name) is backend for name, backend in BACKENDS.items())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vxlna", "'vxlna', which flanpy does not have: did you mean 'vxlan'"),
        ("hostgw", "did you mean 'host-gw'"),
        ("carrier-pigeon", "which flanpy does not have: there is alloc, "),
    ],
)
def test_backend_that_is_not_there_is_named_with_the_nearest_one(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        backend_for(name)
