"""The document that answers each request of the control socket; requests that are not here answer free JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from flanpy.api.events import DifferenceDocument, EventsDocument
from flanpy.api.leases import PeersDocument, SubnetsDocument
from flanpy.api.status import StatusDocument, VerdictsDocument

ANSWERS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "/v1/status": StatusDocument,
        "/v1/verdict": VerdictsDocument,
        "/v1/subnets": SubnetsDocument,
        "/v1/peers": PeersDocument,
        "/v1/probe": PeersDocument,
        "/v1/events": EventsDocument,
        "/v1/diff": DifferenceDocument,
    }
)
