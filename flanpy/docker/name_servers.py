"""The key `dns` of daemon.json: flanpyd's resolver first, behind it the servers for a flanpyd that is down.

Owns the list's content. It differs from our other keys: what stands in it stays, behind ours. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

KEY: Final = "dns"

MOST_ASKED: Final = 3
"""Docker's embedded DNS asks no more servers than these, as resolv.conf(5) has it."""


@dataclass(frozen=True, slots=True)
class NameServers:
    """flanpyd's resolver, '' for none. `behind` are the servers to name after it where none stand in the file."""

    resolver: str = ""
    behind: tuple[str, ...] = ()
    asked_for: bool = False
    """The operator has the key written; without that it is only known again, to be taken back."""

    def are_in(self, settings: Mapping[str, Any]) -> bool:
        """Report whether containers of a Docker with these settings ask the resolver."""
        return bool(self.resolver) and self.resolver in _listed(settings)

    def target(self, settings: Mapping[str, Any]) -> list[Any]:
        """Return the list that the settings are to have: as it stands if it begins with the resolver."""
        others = [server for server in _listed(settings) if server != self.resolver]
        return [self.resolver, *(others or self.behind)]

    def former(self, now: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
        """Return the value without us, None for no key. What others changed since in a list of theirs stays."""
        if not _listed(before) or self.target(before) == _listed(now):
            return before.get(KEY)
        return [server for server in _listed(now) if server != self.resolver]

    def notes(self, servers: list[Any]) -> tuple[str, ...]:
        """Return a line for each thing about a new list that an operator would not expect."""
        told = [
            f"containers ask {self.resolver} for names from their next start on, once Docker was restarted"
        ]
        if len(servers) == 1:
            told.append(
                f"no server is named after {self.resolver}: while flanpyd is down containers resolve no name; "
                f'add one of your own to "{KEY}"'
            )
        if len(servers) > MOST_ASKED:
            never = ", ".join(map(str, servers[MOST_ASKED:]))
            told.append(f"Docker asks {MOST_ASKED} servers at most: it does not ask {never} any more")
        return tuple(told)


def _listed(settings: Mapping[str, Any]) -> list[Any]:
    found = settings.get(KEY)
    return list(found) if isinstance(found, list) else []
