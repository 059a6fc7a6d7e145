"""The labs of `tests/lab`, in the guest."""

from tests.lab.conftest import build_lab

__all__ = ["build_lab"]
