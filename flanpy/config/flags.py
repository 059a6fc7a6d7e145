"""The command line, read as Go's flag package reads flannel's.

`--x=v`, `--x v`, `-x v` and `-x=v` are the same. A switch takes a value only with '=' (`--ip-masq=false`). A flag given
twice counts last, a repeatable one adds up. Rule: https://pkg.go.dev/flag, "Command line flag syntax". Unlike Go's
flannel, which drops it silently, what is left over is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flanpy.config.options import BY_NAME
from flanpy.config.settings import Origin
from flanpy.config.sources import Given
from flanpy.config.suggest import nearest, one_line
from flanpy.errors import UsageError

# Of flannel's logging library and of no meaning here; True: takes no value. Units in service carry them.
_WITHOUT_EFFECT: Final = {
    "v": False,
    "vmodule": False,
    "log_backtrace_at": False,
    "log_dir": False,
    "log_file": False,
    "stderrthreshold": False,
    "logtostderr": True,
    "alsologtostderr": True,
}
_KUBERNETES: Final = frozenset(
    {
        "kube-subnet-mgr",
        "kube-api-url",
        "kube-annotation-prefix",
        "kubeconfig-file",
        "net-config-path",
        "set-node-network-unavailable",
    }
)
_ASKS: Final = {"help": "help", "h": "help", "version": "version"}


@dataclass(slots=True)
class CommandLine:
    """The options given on the command line. `asks` is help or version if that comes first, else ''."""

    given: dict[str, Given] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    asks: str = ""


def read_flags(argv: Sequence[str]) -> CommandLine:
    """Read arguments (without the program's name). Raises UsageError at the first that cannot be used."""
    line = CommandLine()
    rest = list(argv)
    while rest and not line.asks:
        _read_one(line, rest)
    return line


def _read_one(line: CommandLine, rest: list[str]) -> None:
    argument = rest.pop(0)
    name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
    if argument == "--" and not rest:
        return
    if not argument.startswith("-") or not name or name.startswith("-"):
        raise UsageError(
            f"unexpected argument '{one_line(argument)}'; a switch takes its value with '=', as --ip-masq=false"
        )
    if name in _ASKS:
        line.asks = "" if value.lower() in {"false", "f", "0"} else _ASKS[name]
        return
    _refuse_unknown(name)
    if equals:
        _add(line, name, value)
    elif _is_switch(name):
        _add(line, name, "true")
    elif rest:
        _add(line, name, rest.pop(0))
    else:
        raise UsageError(f"--{name} needs a value: --{name}={_metavar(name)}")


def _refuse_unknown(name: str) -> None:
    if name in _KUBERNETES:
        raise UsageError(f"--{name} is for Kubernetes, which flanpy does not serve; leave it out")
    if name not in BY_NAME and name not in _WITHOUT_EFFECT:
        raise UsageError(
            f"unknown flag '--{one_line(name)}'{nearest(name, [*BY_NAME, *_ASKS], show='--{}') or '; see --help'}"
        )


def _is_switch(name: str) -> bool:
    return BY_NAME[name].kind.switch if name in BY_NAME else _WITHOUT_EFFECT[name]


def _metavar(name: str) -> str:
    return BY_NAME[name].kind.metavar if name in BY_NAME else "VALUE"


def _add(line: CommandLine, name: str, value: str) -> None:
    if name in _WITHOUT_EFFECT:
        line.warnings.append(f"flag --{name} has no effect here; use --log-level")
        return
    before = line.given[name].texts if name in line.given and BY_NAME[name].kind.repeatable else ()
    line.given[name] = Given((*before, value), Origin("flag", f"--{name}"))
