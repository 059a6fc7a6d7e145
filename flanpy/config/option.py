"""The description of one option: its names in every source, its kind and its meaning.

The options themselves stand in `options.py`; defaults live in `settings.py`, beside the types.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from flanpy.config.kinds import Kind
from flanpy.config.settings import Settings

DEFAULTS: Final = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting. `own` is not flannel's, `secret` is never shown, `reloadable` takes effect on SIGHUP, a `credential`
    may be given as one of systemd's."""

    name: str
    field: str
    kind: Kind
    group: str
    help: str
    own: bool = False
    secret: bool = False
    reloadable: bool = False
    credential: bool = False
    in_file: bool = True
    seed_env: str = ""
    """The name in the sysconfig file of older packages, the weakest of the environment."""

    @property
    def env(self) -> tuple[str, ...]:
        """Environment names, strongest first."""
        stem = self.name.upper().replace("-", "_")
        names = (f"FLANPYD_{stem}", "" if self.own else f"FLANNELD_{stem}", self.seed_env)
        return tuple(name for name in names if name)

    @property
    def default(self) -> Any:
        """The typed value without any source."""
        return self.of(DEFAULTS)

    def of(self, settings: Settings) -> Any:
        """This option's typed value in `settings`."""
        return attrgetter(self.field)(settings)

    def text(self, settings: Settings) -> str:
        """This option's value as an operator would write it, masked if secret."""
        value = self.of(settings)
        return "********" if self.secret and value else self.kind.render(value)
