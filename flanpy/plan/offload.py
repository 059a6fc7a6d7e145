"""Decides whether checksums of overlay packets are left to the network card. Pure.

flannel leaves the offload on. Off is for kernels before 5.7, which send wrong checksums for VXLAN packets that were
translated (kubernetes/kubernetes#88986; Calico has the same rule), for drivers that are known to get them wrong
(projectcalico/calico#9433), and for links whose packets peers found corrupted.
"""

from __future__ import annotations

from typing import Final

from flanpy.model.offload import Offload, OffloadChoice, OffloadReason
from flanpy.model.world import World

OLDEST_KERNEL: Final = (5, 7)

BROKEN_DRIVERS: Final = frozenset({"vmxnet3"})


def checksum_offload(world: World) -> Offload:
    """The decision, and why, as one line."""
    underlay = world.facts.underlay
    links = underlay.drivers if underlay is not None else ()
    corruption = world.corruption if world.corruption and world.corruption.drivers == links else None
    choice = world.policy.tx_checksum
    if choice is not OffloadChoice.AUTO:
        why = f"vxlan-tx-checksum is {choice.value}"
        return Offload(choice is OffloadChoice.ON, OffloadReason.SET, why, links, corruption)
    kernel = world.facts.kernel
    if kernel is not None and kernel < OLDEST_KERNEL:
        release, oldest = (".".join(map(str, one)) for one in (kernel, OLDEST_KERNEL))
        why = f"kernel {release} gets inner checksums wrong, kernels from {oldest} on do not"
        return Offload(False, OffloadReason.OLD_KERNEL, why, links, corruption)
    broken = [str(link) for link in links if link.driver in BROKEN_DRIVERS]
    if broken:
        why = f"{', '.join(broken)} is known to get inner checksums wrong"
        return Offload(False, OffloadReason.BROKEN_DRIVER, why, links, corruption)
    named = ", ".join(map(str, links)) or "no underlay link"
    if corruption is not None:
        why = f"packets that {named} made the checksum of came corrupted to {', '.join(corruption.peers)}"
        return Offload(False, OffloadReason.CORRUPTED, why, links, corruption)
    return Offload(True, OffloadReason.RIGHT, f"nothing is known against {named}", links)
