"""The probe results for each peer: over the overlay, over the underlay, and the diagnosis.

Values only: measured in `probe/`, judged by conditions, shown by status, metrics, the page and doctor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from flanpy.model.address import IPAddress
from flanpy.model.lease import SubnetKey


class Layer(Enum):
    """The path between two hosts: through the tunnel, or beneath it."""

    OVERLAY = "overlay"
    UNDERLAY = "underlay"


class Reach(Enum):
    """The reachability of a peer over the overlay."""

    UNKNOWN = "unknown"
    REACHABLE = "reachable"
    LOSSY = "lossy"
    UNREACHABLE = "unreachable"


class Trouble(Enum):
    """The fault between two hosts, as far as the evidence shows. The value is the one that machines see."""

    NONE = ""
    PEER_DOWN = "PeerDown"
    NO_UNDERLAY = "NoUnderlay"
    PORT_BLOCKED = "PortBlocked"
    ONE_WAY_OUT = "OneWayOut"
    ONE_WAY_IN = "OneWayIn"
    MTU_BLACK_HOLE = "MTUBlackHole"
    WRONG_MAC = "WrongMAC"
    FIREWALL = "Firewall"
    REVERSE_PATH = "ReversePath"
    LOSS = "Loss"
    UNEXPLAINED = "Unexplained"


@dataclass(frozen=True, slots=True)
class LayerHealth:
    """The last rounds over one path. Times are seconds, `rtt` of the last answer, `rtt_least` the best of the window.

    `loss` is the share of the window's probes without an answer, 0 to 1; `answered_at` wall time of the last answer.
    """

    sent: int = 0
    answered: int = 0
    loss: float = 0.0
    rtt: float | None = None
    rtt_least: float | None = None
    rtt_mean: float | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class PathMtu:
    """The largest inner packet that passed, in bytes, of `wanted` that should; `wanted` is 0 before the first try."""

    passed: int = 0
    wanted: int = 0

    @property
    def is_whole(self) -> bool:
        return self.passed >= self.wanted


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line each for people: the observation, and the remedy."""

    trouble: Trouble = Trouble.NONE
    evidence: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True)
class PeerReach:
    """One peer as probed from here. `heard_at`: wall time of the peer's last probe that came in over the overlay."""

    key: SubnetKey
    node_id: str
    public_ip: IPAddress | None
    overlay_ip: IPAddress | None
    reach: Reach = Reach.UNKNOWN
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    overlay: LayerHealth = field(default_factory=LayerHealth)
    underlay: LayerHealth = field(default_factory=LayerHealth)
    mtu: PathMtu = field(default_factory=PathMtu)
    heard_at: float | None = None
    changed_at: float = 0.0
    host: str = ""

    @property
    def name(self) -> str:
        """Return the peer's name for people; flannel's hosts go by their subnet."""
        return self.host or self.node_id or str(self.key)


@dataclass(frozen=True, slots=True)
class ReachReport:
    """The result of a round, replaced whole. `peers` are those probed at least once that still have a lease.

    `of` counts all peers, `probed` those of this round: fewer, chosen at random, where there are many.
    `rtt_buckets` counts overlay answers since start up to each upper bound in seconds, in ascending order (the last
    bound is infinity, its count the total), and `rtt_sum` is their sum: `model.histogram.Histogram` makes them.
    `checks_whole` and `checks_corrupted` count sets of datagrams whose checksums peers checked.
    """

    peers: Mapping[SubnetKey, PeerReach] = field(default_factory=lambda: MappingProxyType({}))
    of: int = 0
    probed: int = 0
    round: int = 0
    problem: str = ""
    rtt_buckets: Mapping[float, int] = field(default_factory=lambda: MappingProxyType({}))
    rtt_sum: float = 0.0
    packets_sent: int = 0
    checks_whole: int = 0
    checks_corrupted: int = 0
