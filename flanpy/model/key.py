"""The identity of a kernel object."""

from __future__ import annotations

Key = tuple[str | int, ...]
"""A tuple of primitives, so that comparing tens of thousands of keys stays cheap."""
