"""Recall of the objects that every backend needs on this host: only the leases of others change often."""

from __future__ import annotations

from dataclasses import fields, replace
from operator import is_not

from flanpy.backend import choice
from flanpy.backend.bridged import is_encrypted
from flanpy.model.lease import LeaseView
from flanpy.model.objects import KernelObject
from flanpy.model.world import World

_NOBODY = LeaseView()
_INPUTS = tuple(each.name for each in fields(World) if each.name != "view")


class HostObjects:
    """The result of `choice.host_objects`, planned again only when something besides the leases of others changed.

    Planning the packet filter takes as long as all else that is planned for one lease.
    """

    def __init__(self) -> None:
        self._inputs: tuple[object, ...] = ()
        self._objects: tuple[KernelObject, ...] = ()

    def of(self, world: World) -> tuple[KernelObject, ...]:
        """Return the objects of this world. The network must be known."""
        # Without the leases, so that nothing that is recalled depends on them, save for ends within the overlay.
        view = world.view if is_encrypted(world) and world.named.networks else _NOBODY
        inputs = (*(getattr(world, name) for name in _INPUTS), view)
        if not self._inputs or any(map(is_not, inputs, self._inputs)):
            self._objects = choice.host_objects(replace(world, view=view))
            self._inputs = inputs
        return self._objects
