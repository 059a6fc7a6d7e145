"""This host as a command sees it: its settings, and the daemon that may run on it.

Owns how flags, environment and file of flanpyd are read for flanpyctl (so that none is needed on a host that runs it).
Settings are read on first use: `version` and `completion` work with any settings.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flanpy.cli.base.options import DOCKER_OPTIONS, ETCD_OPTIONS, OPTIONS
from flanpy.config.arguments import flags_of
from flanpy.config.credentials import STORE
from flanpy.config.loading import load
from flanpy.config.service_files import SERVICE_FILES
from flanpy.config.settings import Settings

if TYPE_CHECKING:
    from flanpy.cli.base.control import Control


@dataclass(frozen=True)
class Host:
    """The host on which the command runs, with the command line's settings for it."""

    arguments: Namespace

    @cached_property
    def settings(self) -> Settings:
        """Raises UsageError for a flag, ConfigError for the environment or the file."""
        flags = flags_of(self.arguments, (*OPTIONS, *DOCKER_OPTIONS))
        return load(flags, self._environ, credential_store=STORE, service_files=SERVICE_FILES)

    @cached_property
    def effective(self) -> Settings:
        """The same, with what is set nowhere taken from the daemon that runs here: it may have flags of its own."""
        from flanpy.cli.base.borrowed import from_daemon

        if self.etcd_named:
            return self.settings
        return load(
            flags_of(self.arguments, (*OPTIONS, *DOCKER_OPTIONS)),
            self._environ,
            credential_store=STORE,
            service_files=SERVICE_FILES,
            beneath=lambda given: from_daemon(self.control, given),
        )

    @cached_property
    def control(self) -> Control:
        """The daemon's socket, whether or not it answers."""
        from flanpy.cli.base.control import Control  # http.client: 20 ms that etcd's commands do not need

        return Control(self.settings.run_dir)

    @property
    def heard(self) -> str:
        """Return the resource that the daemon answered last, "" if it was not asked."""
        control = self.__dict__.get("control")  # what was not used yet is not made for this
        return control.answered if control is not None else ""

    @cached_property
    def node_id(self) -> str | None:
        """This host's identity in leases, None if its daemon has not made one up yet."""
        from flanpy.host.node_id import known_node_id

        known = known_node_id(self.settings.node_id, state_dir=self.settings.state_dir)
        return None if known is None else known.text

    @property
    def etcd_named(self) -> bool:
        """Report whether the command line names an etcd: the local daemon may then serve another network."""
        return bool(flags_of(self.arguments, ETCD_OPTIONS))

    @property
    def _environ(self) -> Mapping[str, str]:
        return os.environ
