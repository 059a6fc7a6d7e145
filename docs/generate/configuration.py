"""The page of settings: every option with its flag, environment names, key in the file, default and meaning."""

from __future__ import annotations

from docs.generate import markdown
from docs.generate.programs import default_of, settings
from docs.generate.wording import sentence
from flanpy.config.option import Option

LEAD = """\
Every setting of `flanpyd`, which `flanpyctl` takes, too, as far as it needs them. A flag wins over the environment, that over a
credential, that over `/etc/flanpy/flanpyd.toml`, that over the default. `flanpyctl config show` says which value is in force and where it came from.

- **Flags** may have one dash or two; `--iface=eth0` and `--iface eth0` are the same. A switch takes its value with `=`.
- **Environment**: the first name that is set and not empty counts. The unit reads `/etc/default/flanpyd`; an unknown
  `FLANPYD_...` is an error.
- **File**: keys are the flags' names. They may be grouped: `endpoints` in `[etcd]` is `etcd-endpoints`. Numbers and booleans need
  no quotes; what can be repeated as a flag is a list. An unknown key is an error that names the nearest one.
- **Credentials** are files that systemd shows to the service alone: put one of that name into `/etc/credstore`.
- **Times** are written as `30s`, `15m`, `24h`.
- **Reload**: marked settings take effect on `flanpyctl reload`; the others when `flanpyd` is restarted, which interrupts no packet.
"""


def page() -> str:
    parts = [markdown.section(title, *map(_entry, options)) for title, options in settings()]
    return markdown.page("Settings", LEAD.strip(), *parts)


def _entry(option: Option) -> str:
    rows = [
        (
            "flag",
            markdown.code(f"--{option.name}" + ("" if option.kind.switch else f"={option.kind.metavar}")),
        ),
        ("environment", ", ".join(map(markdown.code, option.env))),
        ("file", markdown.code(_in_file(option)) or "not there"),
        ("default", markdown.code(default_of(option)) or "none"),
        ("reload", "yes" if option.reloadable else "no, restart"),
    ]
    if option.credential:
        rows.append(("credential", markdown.code(f"flanpyd.{option.name}")))
    shown = [f"{name}: {text}" for name, text in rows]
    return markdown.section(option.name, sentence(markdown.plain(option.help)), _listed(shown), level=3)


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _in_file(option: Option) -> str:
    """An example of the line in the file, with the default where there is one."""
    if not option.in_file:
        return ""
    text, kind = default_of(option), option.kind
    if bool in kind.typed or (int in kind.typed and text.isdigit()):
        return f"{option.name} = {text}"
    value = f'"{text or kind.metavar}"'
    return f"{option.name} = [{value}]" if kind.listed else f"{option.name} = {value}"
