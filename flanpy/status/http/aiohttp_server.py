"""Loads the server half of aiohttp without its client half, which the daemon never uses.

`import aiohttp.web` runs the package's `__init__`, which imports the client, its connectors, cookies and middlewares:
4 MB and a third of the import time. So a module object stands in for the package while `aiohttp.web` loads; should
anybody ask it for more (`aiohttp.ClientSession`), the real `__init__` runs in it then.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any


def load_server_half() -> None:
    """Make `aiohttp.web` importable at the lower price; does nothing if aiohttp is loaded already."""
    if "aiohttp" in sys.modules:
        return
    spec = importlib.util.find_spec("aiohttp")
    if spec is None or spec.loader is None:
        return  # the import that follows says so better
    package = _Package("aiohttp")
    package.__spec__ = spec
    package.__file__ = spec.origin
    package.__path__ = list(spec.submodule_search_locations or ())
    package.__version__ = ""  # only goes into the Server header
    sys.modules["aiohttp"] = package


class _Package(ModuleType):
    """The package without what its `__init__` imports, until somebody wants that."""

    __version__: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            raise AttributeError(name)  # `from aiohttp import web` asks before it imports the submodule
        self.__class__ = ModuleType  # type: ignore[assignment]  # once: what is missing then is missing
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
