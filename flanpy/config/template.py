"""The environment file of the service, made from the table of options: each of them, as a comment with its default.

Owns the text of `/etc/default/flanpyd`. Both systemd and a shell can read it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from flanpy.config.option import DEFAULTS, Option
from flanpy.config.options import GROUPS, OPTIONS

_HEAD: Final = """\
# Settings of flanpyd and of the flanpy-docker units, as environment. Take the '#' off a line and give it a value, then
#   systemctl restart flanpyd        (settings marked R: systemctl reload flanpyd)
# Traffic goes on meanwhile. Values here win over /etc/flanpy/flanpyd.toml, which flanpyctl reads, too: settings that
# flanpyctl needs, such as where etcd is, belong there. 'flanpyctl config show' tells what is in force and why.
"""
_WIDTH: Final = 110
_EXAMPLES: Final = {
    "etcd-endpoints": "https://192.0.2.10:2379,https://192.0.2.11:2379,https://192.0.2.12:2379",
    "iface": "eth0",
}
"""What is shown in place of a default that is no use to a real host."""


def environment_file() -> str:
    """The whole file."""
    return _HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    for group, title in GROUPS.items():
        yield f"\n## {title}\n"
        yield from (_entry(option) for option in OPTIONS if option.group == group)


def _entry(option: Option) -> str:
    default = option.text(DEFAULTS)
    notes = [f"default {default}"] if default and option.name in _EXAMPLES else []
    notes += ["R"] if option.reloadable else []
    notes += [f"or the credential flanpyd.{option.name}"] if option.credential else []
    text = option.help + (f" [{'; '.join(notes)}]" if notes else "")
    comment = textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n" + "\n".join(comment) + f"\n#{option.env[0]}={_quoted(_EXAMPLES.get(option.name, default))}\n"


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
