"""Links made, taken away, and brought back: level-triggered, from the records and Docker's present answer.

The record is written before the devices are made and removed after them, so that a command that is killed leaves what
`restore` completes or `unlink` takes away. A record whose container Docker has no more goes; the kernel has removed the
devices with the container's namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from flanpy.docker.containers import (
    InspectedContainer,
    inspected,
    refuse_shared,
    refuse_stopped,
)
from flanpy.docker.turn import DIRECTORY
from flanpy.errors import DockerAbsent, DockerConflict, FlanpyError, KernelError
from flanpy.links import netns, veth
from flanpy.links.record import ContainerLink, LinkEnd, free_pair, load, save
from flanpy.model.address import IPAddress
from flanpy.model.quoting import quoted

Pair = tuple[InspectedContainer, InspectedContainer]


class Containers(Protocol):
    """The part of Docker that is asked; `docker.client.Docker` is one."""

    def container(self, name: str) -> Mapping[str, Any] | None:
        """Return Docker's document of a container by name or id, None if there is none."""
        ...


class LinkStep(Enum):
    """The present state of a link, or what was done to it. The value is what commands print."""

    UP = "up"
    RESTORED = "restored"
    WAITING = "waiting"
    DOWN = "down"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link with its state; `reason` says why it is not up, "" if it is."""

    link: ContainerLink
    step: LinkStep
    reason: str = ""


def link(
    docker: Containers,
    names: tuple[str, str],
    wanted: tuple[IPAddress, IPAddress] | None,
    directory: Path = DIRECTORY,
) -> ContainerLink:
    """Link two running containers. Raises DockerError, KernelError, HostError; nothing then changed."""
    first, second = (_found(docker, name) for name in names)
    for one in (first, second):
        refuse_shared(one)
        refuse_stopped(one)
    if first.id == second.id:
        raise DockerConflict(f"container '{first.name}' cannot be linked with itself: name two")
    links = load(directory)
    _refuse_linked(links, first, second)
    addresses = wanted or free_pair(links)
    _refuse_used(links, (first, second), addresses)
    made = ContainerLink(
        LinkEnd(first.id, first.name, addresses[0]), LinkEnd(second.id, second.name, addresses[1])
    )
    save((*links, made), directory)
    try:
        _put(docker, made, (first, second))
    except BaseException:
        save(links, directory)
        raise
    return made


def part(docker: Containers, names: tuple[str, str], directory: Path = DIRECTORY) -> ContainerLink:
    """Take the link of two containers away, whether they run, or are there at all. Raises DockerAbsent without one."""
    links = load(directory)
    found = _named(docker, links, names)
    _take(docker, found)
    save([one for one in links if one is not found], directory)
    return found


def part_all(docker: Containers, directory: Path = DIRECTORY) -> tuple[ContainerLink, ...]:
    """Take every link away."""
    links = load(directory)
    for number, one in enumerate(links, 1):
        _take(docker, one)
        save(links[number:], directory)
    return links


def restore(docker: Containers, directory: Path = DIRECTORY) -> tuple[LinkState, ...]:
    """Bring back the links of containers that started again, and forget those of containers that are no more.

    A link that cannot be brought back holds up no other one. Raises DockerUnreachable, HostError.
    """
    links = load(directory)
    found = tuple(_restored(docker, one) for one in links)
    kept = [state.link for state in found if state.step is not LinkStep.GONE]
    if len(kept) < len(links):
        save(kept, directory)
    return found


def states(docker: Containers, directory: Path = DIRECTORY) -> tuple[LinkState, ...]:
    """Return every link with its present state, and change nothing."""
    return tuple(_state(docker, one)[0] for one in load(directory))


def _found(docker: Containers, name: str) -> InspectedContainer:
    return inspected(name, docker.container(name))


def _named(docker: Containers, links: Iterable[ContainerLink], names: tuple[str, str]) -> ContainerLink:
    ids = []
    for name in names:
        document = docker.container(name)
        ids.append({inspected(name, document).id} if document is not None else set())
    for one in links:
        for ends in (one.ends, one.ends[::-1]):
            if all(
                end.id in known or (not known and name in {end.name, end.id, end.id[:12]})
                for end, known, name in zip(ends, ids, names, strict=True)
            ):
                return one
    raise DockerAbsent(
        f"containers {quoted(names[0])} and {quoted(names[1])} are not linked: 'flanpyctl link --list' shows links"
    )


def _refuse_linked(
    links: Iterable[ContainerLink], first: InspectedContainer, second: InspectedContainer
) -> None:
    for one in links:
        if one.ids == {first.id, second.id}:
            at = " and ".join(str(end.address) for end in one.ends)
            raise DockerConflict(
                f"containers '{first.name}' and '{second.name}' are linked already, at {at}: flanpyctl unlink first"
            )


def _refuse_used(links: Iterable[ContainerLink], pair: Pair, addresses: tuple[IPAddress, IPAddress]) -> None:
    """Raise DockerConflict for an address of another link of either container."""
    ids = {one.id for one in pair}
    for link_ in links:
        for end in link_.ends:
            if end.address in addresses and ids & link_.ids:
                raise DockerConflict(
                    f"{end.address} is in use by the link of {link_}: give others with --addresses"
                )


def _restored(docker: Containers, one: ContainerLink) -> LinkState:
    state, pair = _state(docker, one)
    if state.step is not LinkStep.DOWN or pair is None:
        return state
    try:
        _put(docker, one, pair)
    except (
        DockerConflict,
        DockerAbsent,
        KernelError,
    ) as error:  # of these two containers; the rest is Docker's
        return LinkState(one, LinkStep.FAILED, str(error))
    return LinkState(one, LinkStep.RESTORED)


def _state(docker: Containers, one: ContainerLink) -> tuple[LinkState, Pair | None]:
    pair = []
    for end in one.ends:
        document = docker.container(end.id)
        if document is None:
            return LinkState(one, LinkStep.GONE, f"container '{end.name}' was removed"), None
        pair.append(inspected(end.id, document))
    first, second = pair
    if stopped := [container.name for container in pair if not container.running]:
        return LinkState(one, LinkStep.WAITING, f"{' and '.join(stopped)} not running"), None
    try:
        up = all(_stands(one, end, container) for end, container in zip(one.ends, pair, strict=True))
    except FlanpyError as error:
        return LinkState(one, LinkStep.FAILED, str(error)), None
    return LinkState(
        one, LinkStep.UP if up else LinkStep.DOWN, "" if up else "its devices are not as made"
    ), (
        first,
        second,
    )


def _wire(one: ContainerLink, end: LinkEnd) -> veth.Wire:
    return veth.Wire(one.device, end.address, one.facing(end).address)


def _stands(one: ContainerLink, end: LinkEnd, container: InspectedContainer) -> bool:
    with netns.opened(container) as descriptor:
        return netns.inside(descriptor, lambda: veth.stands(_wire(one, end)))


@contextmanager
def _both(docker: Containers, pair: Pair) -> Iterator[tuple[int, int]]:
    """Open both namespaces, and see that Docker still means these by the two containers. Raises DockerConflict."""
    with netns.opened(pair[0]) as first, netns.opened(pair[1]) as second:
        for one in pair:
            now = _found(docker, one.id)
            if not now.running or now.sandbox != one.sandbox:
                raise DockerConflict(f"container '{one.name}' is being restarted: try again")
        yield first, second


def _put(docker: Containers, one: ContainerLink, pair: Pair) -> None:
    """Make the devices; what went wrong half-way leaves none."""
    with _both(docker, pair) as namespaces:
        here, there = namespaces
        for descriptor in namespaces:
            netns.inside(descriptor, lambda: veth.remove(one.device))
        _refuse_addresses(one, pair, namespaces)
        try:
            netns.inside(here, lambda: veth.make(one.device, there))
            for descriptor, end in zip(namespaces, one.ends, strict=True):
                _set_up(descriptor, _wire(one, end))
            for descriptor in namespaces:
                netns.inside(descriptor, lambda: veth.wait_until_running(one.device))
        except BaseException as error:
            with suppress(FlanpyError):
                netns.inside(here, lambda: veth.remove(one.device))
            if isinstance(error, KernelError):
                raise KernelError(f"cannot link {one} by {one.device}: {error}") from error
            raise


def _set_up(descriptor: int, wire: veth.Wire) -> None:
    netns.inside(descriptor, lambda: veth.set_up(wire))


def _refuse_addresses(one: ContainerLink, pair: Pair, namespaces: tuple[int, int]) -> None:
    for container, descriptor in zip(pair, namespaces, strict=True):
        has = netns.inside(descriptor, veth.addresses)
        for end in one.ends:
            if end.address in has:
                raise DockerConflict(
                    f"container '{container.name}' has the address {end.address} already: give others with --addresses"
                )


def _take(docker: Containers, one: ContainerLink) -> None:
    for end in one.ends:
        document = docker.container(end.id)
        if document is None or not (container := inspected(end.id, document)).running:
            continue
        with netns.opened(container) as descriptor:
            netns.inside(descriptor, lambda: veth.remove(one.device))
