"""From the sources to `Settings`: flag, environment, credential, file, default; whole values, never merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from flanpy.config import settings as shape
from flanpy.config.checks import checked
from flanpy.config.credentials import read_credentials
from flanpy.config.environ import read_environ, without_effect
from flanpy.config.file import read_file
from flanpy.config.flags import CommandLine, read_flags
from flanpy.config.options import BY_NAME, OPTIONS
from flanpy.config.service_files import read_otherwise, read_service_files, service_environment
from flanpy.config.settings import Origin, Settings
from flanpy.config.sources import Given, parsed

DEFAULT_FILE: Final = Path("/etc/flanpy/flanpyd.toml")
_GROUPS: Final = {
    "etcd": shape.EtcdOptions,
    "underlay": shape.UnderlayOptions,
    "filter": shape.FilterOptions,
    "listen": shape.ListenOptions,
    "page": shape.PageOptions,
    "probe": shape.ProbeOptions,
    "docker": shape.DockerOptions,
    "cloud": shape.CloudOptions,
    "leases": shape.LeaseListOptions,
    "log": shape.LogOptions,
}


class Described(NamedTuple):
    """One line of `flanpyctl config show`."""

    name: str
    value: str
    origin: str


def load(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    default_file: Path = DEFAULT_FILE,
    credential_store: Path | None = None,
    service_files: Sequence[Path] = (),
    beneath: Callable[[frozenset[str]], Mapping[str, Given]] = lambda _: {},
) -> Settings:
    """Settings from `argv` (without the program's name), `environ`, credentials and the file they name, else
    `default_file`. Credentials are the service's own, without a service those in `credential_store`; `service_files`
    hold the service's environment, which counts less than the one given.

    `beneath` is told which options are given, and gives what counts less than all of these.

    `--help` and `--version` are not answered here, see `usage.answer`. Raises UsageError for the command line,
    ConfigError for all else; both in one line that names the thing, its value and the nearest right one.
    """
    line = read_flags(argv)
    from_environ = {**read_service_files(service_files), **read_environ(environ)}
    file, from_file = _read_named_file(line, from_environ, default_file)
    sources = (line.given, from_environ, read_credentials(environ, credential_store), from_file)
    given = _strongest(sources)
    idle = without_effect({**service_environment(service_files), **environ}, argv)
    warnings = (*line.warnings, *idle, *read_otherwise(service_files))
    return checked(_settings({**beneath(frozenset(given)), **given}, file, warnings))


def describe(settings: Settings) -> list[Described]:
    """Every option with its value as an operator would write it (secrets masked) and its origin."""
    return [
        Described(o.name, o.text(settings), str(settings.origins.get(o.name, "default"))) for o in OPTIONS
    ]


def changed(old: Settings, new: Settings) -> tuple[str, ...]:
    """Names of options whose values differ; where one came from does not count."""
    return tuple(option.name for option in OPTIONS if option.of(old) != option.of(new))


def needing_restart(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that a reload cannot put into effect."""
    return tuple(name for name in names if not BY_NAME[name].reloadable)


def in_force(running: Settings, new: Settings) -> Settings:
    """`running` with what a reload can put into effect taken from `new`, with its origin."""
    origins = dict(running.origins)
    for option in (option for option in OPTIONS if option.reloadable):
        running = _with(running, option.field, option.of(new))
        origins[option.name] = new.origins.get(option.name, Origin("default"))
    return replace(running, origins=origins)


def _with(settings: Settings, field: str, value: object) -> Settings:
    group, _, attribute = field.rpartition(".")
    if not group:
        return replace(settings, **{attribute: value})  # type: ignore[arg-type]  # the table of options fits the shape
    return replace(settings, **{group: replace(getattr(settings, group), **{attribute: value})})


def _read_named_file(
    line: CommandLine, from_environ: Mapping[str, Given], default_file: Path
) -> tuple[Path | None, Mapping[str, Given]]:
    named = line.given.get("config") or from_environ.get("config")
    path = parsed(BY_NAME["config"], named) if named else None
    chosen = path if isinstance(path, Path) else default_file
    given = read_file(chosen, must_exist=path is not None)
    return (None, {}) if given is None else (chosen, given)


def _strongest(sources: Sequence[Mapping[str, Given]]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for source in reversed(sources):
        found.update(source)
    return found


def _settings(given: Mapping[str, Given], file: Path | None, warnings: tuple[str, ...]) -> Settings:
    values: dict[str, dict[str, Any]] = {
        "": {"config": file, "warnings": warnings},
        **{name: {} for name in _GROUPS},
    }
    origins = {option.name: Origin("default") for option in OPTIONS}
    for name, one in given.items():
        group, _, attribute = BY_NAME[name].field.rpartition(".")
        origins[name] = one.origin
        if name != "config":
            values[group][attribute] = parsed(BY_NAME[name], one)
    groups = {name: make(**values[name]) for name, make in _GROUPS.items()}
    return Settings(**groups, **values[""], origins=origins)
