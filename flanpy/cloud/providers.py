"""The client of each backend, imported only when it is asked for: its provider's SDK comes with it."""

from __future__ import annotations

from flanpy.cloud.port import Calls, Provider
from flanpy.model.cloud import AWS


def provider(backend: str, calls: Calls, endpoint: str) -> Provider:
    """The client of one provider. Raises ConfigError if its SDK is not installed."""
    if backend == AWS:
        from flanpy.cloud.aws import AwsRoutes  # noqa: PLC0415, an SDK

        return AwsRoutes(calls, endpoint=endpoint)
    from flanpy.cloud.gce import GceRoutes  # noqa: PLC0415, an SDK

    return GceRoutes(calls, endpoint=endpoint)
