"""The settings in force, and their replacement on SIGHUP or by `flanpyctl reload`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flanpy.config import Settings, changed, in_force, needing_restart
from flanpy.errors import FlanpyError
from flanpy.log import configure, get_logger

log = get_logger()


class SettingsInForce:
    """Holds the settings that the daemon goes by.

    `read` returns the settings as they stand in files, environment and arguments now. `use` puts what a running daemon
    can change into effect. `pending` gets one line that names what only a restart puts into effect, "" for nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read: Callable[[], Settings],
        use: Callable[[Settings], None],
        pending: Callable[[str], None],
    ) -> None:
        self._now = settings
        self._read = read
        self._use = use
        self._pending = pending

    def __call__(self) -> Settings:
        return self._now

    def reload(self) -> tuple[str, ...]:
        """Read the settings again, use what can be, and return the options that differ.

        Raises FlanpyError if `read` or `use` does; the settings in force stay then.
        """
        try:
            new = self._read()
            merged = in_force(self._now, new)
            self._use(merged)
        except FlanpyError as error:
            log.error("reload_refused", error=str(error))
            raise
        names = changed(self._now, new)
        later = needing_restart(names)
        self._now = merged
        configure(new.log.format, new.log.level)
        text = f"changed and not yet in force: {', '.join(later)}" if later else ""
        self._pending(text)
        log.info("settings_reloaded", options=names, action=text or "all in force")
        return names

    async def reload_document(self) -> dict[str, Any]:
        """Reload and return the document of the control socket."""
        names = self.reload()
        return {"changed": list(names), "restart_needed": list(needing_restart(names))}
