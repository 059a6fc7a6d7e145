"""Settings from environment variables.

`FLANPYD_X` wins over flannel's `FLANNELD_X`, and that over the `FLANNEL_ETCD_X` of older packages' sysconfig files. As
in flannel an empty variable counts as unset. An unknown `FLANPYD_*` is an error, as it is a misspelt setting; an
unknown `FLANNELD_*` is ignored, as it may be meant for another version of flannel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flanpy.config.options import OPTIONS
from flanpy.config.settings import Origin
from flanpy.config.sources import Given
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import ConfigError

OURS: Final = "FLANPYD_"
# What unit files and images use around the daemon: arguments to expand, and a version label.
_ARGUMENTS: Final = frozenset({"FLANPYD_OPTS", "FLANPYD_OPTIONS", "FLANPYD_ARGS"})
_OF_THE_TOOLS: Final = _ARGUMENTS | {"FLANPYD_VERSION"}
_KNOWN: Final = frozenset(name for option in OPTIONS for name in option.env)


def read_environ(environ: Mapping[str, str]) -> dict[str, Given]:
    """Texts by option name. Raises ConfigError for an unknown `FLANPYD_*`."""
    _refuse_unknown(environ)
    given = {}
    for option in OPTIONS:
        name = next((name for name in option.env if environ.get(name)), None)
        if name is not None:
            given[option.name] = Given((environ[name],), Origin("env", name))
    return given


def without_effect(environ: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    """Return one line for each variable of arguments that flanpyd was not started with, and what to write instead."""
    lines = []
    for name in sorted(_ARGUMENTS):
        words = environ.get(name, "").split()
        if not words or set(words) <= set(argv):
            continue
        instead = " ".join(filter(None, map(_as_variable, words)))
        write = (
            f"write {instead}" if instead else "write one variable for each setting (flanpyctl config env)"
        )
        lines.append(f"{name} has no effect, as nothing starts flanpyd with it: {write}")
    return lines


def _as_variable(word: str) -> str:
    """Return `FLANPYD_IFACE=eth1` for `--iface=eth1`; a value that is a secret, or a word of its own, is left out."""
    name, equals, value = word.lstrip("-").partition("=")
    option = next((one for one in OPTIONS if one.name == name), None)
    if option is None or not word.startswith("-"):
        return ""
    variable = next(known for known in option.env if known.startswith(OURS))
    return f"{variable}={'...' if option.secret or not equals else value}"


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if name.startswith(OURS) and name not in _KNOWN | _OF_THE_TOOLS:
            ours = [known.removeprefix(OURS) for known in _KNOWN if known.startswith(OURS)]
            hint = (
                nearest(name.removeprefix(OURS), ours, show=f"{OURS}{{}}")
                or "; flanpyd --help lists the names"
            )
            raise ConfigError(f"unknown environment variable '{one_line(name)}'{hint}")
