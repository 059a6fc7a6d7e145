"""The known problems P01 to P32, put into a lab on purpose and taken away again.

with inject("P06", lab) as struck:
    assert struck.is_broken()
"""

from integration.lab.injections.case import Course, Ground, Injection, Stage, Struck
from integration.lab.injections.registry import INJECTIONS, NOT_INJECTED, inject, injection
from integration.lab.injections.standing import StandingLab

__all__ = [
    "INJECTIONS", "NOT_INJECTED", "Course", "Ground", "Injection", "Stage", "StandingLab", "Struck", "inject",
    "injection",
]  # fmt: skip
