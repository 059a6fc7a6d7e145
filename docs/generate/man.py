"""The manual pages, as roff: flanpyd(8), flanpyctl(1), one for each of its commands, and flanpyd.toml(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from docs.generate.programs import (
    Argument,
    Command,
    daemon_about,
    daemon_examples,
    daemon_exit_codes,
    default_of,
    exit_codes,
    flanpy_store,
    flanpyctl,
    settings,
)
from docs.generate.wording import sentence
from flanpy import __version__
from flanpy.config.option import Option
from flanpy.config.options import OPTIONS
from flanpy.storeserver.main import EXIT_CODES as STORE_EXIT_CODES

_DAEMON = "give this host its part of an overlay network"
_FILES = (
    ("/etc/flanpy/flanpyd.toml", "settings, see flanpyd.toml(5)"),
    ("/etc/default/flanpyd", "settings as environment, read by the unit"),
    ("/etc/credstore/flanpyd.*", "passwords and keys, shown to the service alone"),
    ("/run/flannel/subnet.env", "what Docker is configured from"),
    ("/run/flanpy/flanpyd.sock", "the control socket"),
    ("/var/lib/flanpy", "the lease, for a boot without etcd"),
)


_STORE_FILES = (
    ("/etc/default/flanpy-store", "settings as environment, read by the unit"),
    ("/etc/credstore/flanpy-store.*", "certificate, key and authority, shown to the service alone"),
    ("/var/lib/flanpy-store/store.db", "the store"),
    ("/var/lib/flanpy-store/backups", "a backup of each day"),
)


_STORE_EXAMPLE = "flanpy-store --data-dir /srv/store --listen-client-urls http://127.0.0.1:12379"


def pages() -> dict[str, str]:
    """Texts by file name."""
    program = flanpyctl()
    made = {"flanpyd.8": _daemon(), "flanpyctl.1": _program(program), "flanpyd.toml.5": _file()}
    made["flanpy-store.8"] = _store()
    return made | {f"{each.page}.1": _command(each) for each in program.below}


def _daemon() -> str:
    about, _, rest = daemon_about().partition("\n")
    parts = [
        _head("flanpyd", 8, _DAEMON),
        _section("SYNOPSIS", f"{_bold('flanpyd')} [{_bold('--')}{_italic('OPTION')}[={_italic('VALUE')}] ...]"),
        _section("DESCRIPTION", _text(f"{about} {rest}")),
        _section("OPTIONS", *_options()),
        _section("SIGNALS", *_tagged([("SIGTERM, SIGINT", "Stop. Lease, links and routes stay: packets go on."),
                                      ("SIGHUP", "Read the settings again.")])),
        _section("EXIT STATUS", _text(daemon_exit_codes())),
        _section("FILES", *_tagged(_FILES)),
        _section("EXAMPLES", _block(daemon_examples())),
        _see("flanpyctl(1)", "flanpyd.toml(5)"),
    ]  # fmt: skip
    return "".join(parts)


def _store() -> str:
    program = flanpy_store()
    codes = ((str(code), sentence(meaning)) for code, meaning in STORE_EXIT_CODES.items())
    return "".join((
        _head("flanpy-store", 8, "serve etcd's v3 API from one file"),
        _section("SYNOPSIS", f"{_bold('flanpy-store')} [{_bold('--')}{_italic('OPTION')} {_italic('VALUE')} ...]"),
        _section("DESCRIPTION", _text(program.about)),
        _section("OPTIONS", *_arguments(program.arguments), _tag(f"{_bold('-h')}, {_bold('--help')}", "Print help and exit.")),
        _section("ENVIRONMENT", _text("Each option as FLANPY_STORE_ and its name in capitals, with underscores. A flag counts more.")),
        _section("EXIT STATUS", *_tagged(codes)),
        _section("FILES", *_tagged(_STORE_FILES)),
        _section("EXAMPLES", _block(_STORE_EXAMPLE)),
        _see("flanpyd(8)", "flanpyctl-store(1)"),
    ))  # fmt: skip


def _options() -> Iterator[str]:
    for title, options in settings():
        yield f".SS {_escaped(title)}\n"
        for option in options:
            yield _tag(_flag(option), _meaning(option))


def _flag(option: Option) -> str:
    value = "" if option.kind.switch else f"={_italic(option.kind.metavar)}"
    return f"{_bold(f'--{option.name}')}{value}"


def _meaning(option: Option) -> str:
    notes = [f"Default: {default_of(option)}."] if default_of(option) else []
    notes += ["Takes effect on SIGHUP."] if option.reloadable else []
    notes += [f"Environment: {', '.join(option.env)}."]
    return f"{sentence(option.help)} {' '.join(notes)}"


def _program(program: Command) -> str:
    commands = [(each.path, f"{sentence(each.summary)} See {each.page}(1).") for each in program.below]
    return "".join((
        _head("flanpyctl", 1, "look at and steer the overlay network"),
        _section("SYNOPSIS", f"{_bold('flanpyctl')} {_italic('COMMAND')} [{_italic('ARGUMENT')} ...]"),
        _section("DESCRIPTION", _text(program.about)),
        _section("COMMANDS", *_tagged(commands)),
        _section("OPTIONS", *_arguments(program.arguments), *_shared()),
        _exit_status(),
        _section("FILES", *_tagged(_FILES)),
        _section("EXAMPLES", _block(program.examples)),
        _see("flanpyd(8)", "flanpyd.toml(5)", *(f"{each.page}(1)" for each in program.below)),
    ))  # fmt: skip


def _command(command: Command) -> str:
    each_below = [part for below in command.below for part in _below(below)]
    return "".join((
        _head(command.page, 1, command.summary),
        _section("SYNOPSIS", ".br\n".join(f"{_escaped(each.usage)}\n" for each in command.all())),
        _section("DESCRIPTION", _text(command.about)),
        _section("COMMANDS", *each_below) if each_below else "",
        _section("OPTIONS", *_arguments(command.arguments), *_shared()),
        _exit_status(),
        _section("EXAMPLES", _block("\n".join(each.examples for each in command.all() if each.examples))),
        _see("flanpyctl(1)", "flanpyd(8)", "flanpyd.toml(5)"),
    ))  # fmt: skip


def _below(command: Command) -> Iterator[str]:
    yield f".SS {_escaped(command.path)}\n{_text(command.about)}"
    yield from _arguments(command.arguments)


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for each in arguments:
        yield _tag(_bold(each.words), sentence(each.meaning))


def _shared() -> Iterator[str]:
    yield _tag(f"{_bold('-h')}, {_bold('--help')}", "Print help and exit.")
    yield _tag(_italic("SETTING"), "Any setting of etcd or of the host, as a flag: see flanpyd.toml(5).")


def _exit_status() -> str:
    return _section("EXIT STATUS", *_tagged((str(code), sentence(meaning)) for code, meaning in exit_codes()))


def _file() -> str:
    lead = """\
Settings of flanpyd(8) and of flanpyctl(1), in TOML. Keys are the flags' names; they may be grouped: endpoints in [etcd] is
etcd-endpoints. A value is a string, or a number or boolean where the setting is one, or a list where it takes several.
A flag wins over the environment, that over a credential, that over this file. An unknown key is an error."""
    example = 'iface = ["eth0"]\n\n[etcd]\nendpoints = ["http://192.0.2.10:2379"]'
    keys = [_tag(_bold(option.name), _meaning(option)) for option in OPTIONS if option.in_file]
    return "".join((
        _head("flanpyd.toml", 5, "settings of flanpyd and flanpyctl"),
        _section("DESCRIPTION", _text(lead)),
        _section("KEYS", *keys),
        _section("FILES", *_tagged(_FILES)),
        _section("EXAMPLES", _block(example)),
        _see("flanpyd(8)", "flanpyctl(1)"),
    ))  # fmt: skip


def _head(name: str, number: int, summary: str) -> str:
    title = f'.TH "{name.upper()}" "{number}" "" "flanpy {__version__}" "flanpy"\n'
    return title + _section("NAME", f"{_escaped(name)} \\- {_escaped(summary)}")


def _section(title: str, *parts: str) -> str:
    return f".SH {title}\n" + "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def _see(*names: str) -> str:
    refs = [re.sub(r"(.*)(\(\d\))", lambda m: f"{_bold(m[1])}{m[2]}", name) for name in names]
    return _section("SEE ALSO", ",\n".join(refs))


def _tagged(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [_tag(_bold(word), meaning) for word, meaning in pairs]


def _tag(word: str, meaning: str) -> str:
    return f".TP\n{word}\n{_text(meaning)}"


def _block(text: str) -> str:
    lines = "\n".join(_escaped(line) for line in text.splitlines())
    return f".nf\n{lines}\n.fi\n"


def _text(text: str) -> str:
    return f"{_escaped(' '.join(text.split()))}\n"


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_escaped(text)}\\fR"


def _escaped(text: str) -> str:
    """No character of a text is roff's: backslashes, leading dots and quotes, hyphens that are to be copied."""
    text = (
        text.replace("\\", "\\e")
        .replace("-", "\\-")
        .replace("'", "\\(aq")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
    )
    return f"\\&{text}" if text.startswith(".") else text
