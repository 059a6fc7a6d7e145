"""Cutting and joining in the process of the test, tested with numpy and without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flanpy.udp.forwarder import bulk, bulk_numpy, bulk_plain


@pytest.fixture(params=[bulk_numpy, bulk_plain], ids=["numpy", "plain"], scope="module")
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test of a module twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "chosen", request.param)
        yield
