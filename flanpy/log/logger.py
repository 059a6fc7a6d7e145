"""The loggers, and structlog loaded without its development extras.

structlog imports rich if it is installed, which the daemon never needs: 100 ms and 7.5 MB against 22 ms and 2.2 MB.
Both extras are hidden while structlog loads (structlog documents them as optional).
"""

from __future__ import annotations

import sys
from typing import Any, cast

_HIDDEN_WHILE_STRUCTLOG_LOADS = [name for name in ("rich", "better_exceptions") if name not in sys.modules]
for _name in _HIDDEN_WHILE_STRUCTLOG_LOADS:
    sys.modules[_name] = cast(Any, None)
try:
    import structlog
    from structlog.typing import FilteringBoundLogger
finally:
    for _name in _HIDDEN_WHILE_STRUCTLOG_LOADS:
        del sys.modules[_name]

__all__ = ["FilteringBoundLogger", "get_logger", "structlog"]


def get_logger(**keys: Any) -> FilteringBoundLogger:
    """A logger that carries `keys` on every line and follows a later `configure` (one made by `.bind` does not)."""
    return cast(FilteringBoundLogger, structlog.get_logger(**keys))
