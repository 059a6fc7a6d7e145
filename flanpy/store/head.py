"""The origin of a store's answer: its cluster, its generation, and the member that answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's origin. The embedded store has its generation where an etcd has its term."""

    cluster_id: int = 0
    generation: int = 0
    member: int = 0

    def outranks(self, other: Head) -> bool:
        """Tell whether this is a later store of the same cluster. Of two promoted at once the higher member counts."""
        if self.cluster_id != other.cluster_id:
            return False
        return (self.generation, self.member) > (other.generation, other.member)
