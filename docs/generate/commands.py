"""The pages of the two programs: flanpyctl with every command, flanpyd with its signals and exit codes."""

from __future__ import annotations

from docs.generate import markdown
from docs.generate.programs import (
    Command,
    daemon_about,
    daemon_examples,
    daemon_exit_codes,
    exit_codes,
    flanpy_store,
    flanpyctl,
)
from docs.generate.wording import sentence
from flanpy.storeserver.main import EXIT_CODES as STORE_EXIT_CODES
from flanpy.storeserver.settings import OPTIONS as STORE_OPTIONS

_LEAD = """\
`flanpyctl COMMAND --help` prints the same. Beside its own arguments every command takes the [settings](configuration.md) of etcd
(`--etcd-...`) and of the host (`--node-id`, `--run-dir`, `--state-dir`, `--subnet-file`, `--config`), from the same places as the
daemon: on a host that runs one none is needed. `-o json` and `-o yaml` are for programs; what they print only grows.
"""
_SIGNALS = (
    ("SIGTERM, SIGINT", "stop; lease, links and routes stay, so packets go on"),
    ("SIGHUP", "read the settings again, as `flanpyctl reload` does"),
)


def flanpyctl_page() -> str:
    program = flanpyctl()
    codes = [(str(number), meaning) for number, meaning in exit_codes()]
    contents = [(f"[`{each.path}`](#{each.page})", each.summary) for each in program.all() if each != program]
    return markdown.page(
        "flanpyctl",
        f"{program.about}\n\n{_LEAD.strip()}",
        markdown.section("Commands", markdown.table(("command", "what it does"), contents)),
        markdown.section("Exit codes", "Stable across versions.", markdown.table(("code", "meaning"), codes)),
        *(_entry(each) for each in program.all() if each != program),
    )


def flanpyd_page() -> str:
    return markdown.page(
        "flanpyd",
        " ".join(daemon_about().split()),
        "It takes the [settings](configuration.md), `--help` and `--version`, and no other arguments.",
        markdown.section("Examples", markdown.block(daemon_examples(), "sh")),
        markdown.section("Signals", markdown.table(("signal", "what follows"), _SIGNALS)),
        markdown.section("Exit status", sentence(daemon_exit_codes())),
    )


def flanpy_store_page() -> str:
    program = flanpy_store()
    rows = [(markdown.code(each.words), markdown.plain(each.meaning)) for each in program.arguments]
    variables = [
        (markdown.code(f"--{option.flag}"), markdown.code(option.variable)) for option in STORE_OPTIONS
    ]
    codes = [(str(number), meaning) for number, meaning in STORE_EXIT_CODES.items()]
    return markdown.page(
        "flanpy-store",
        f"{program.about} [How to run it](../howto/embedded-store.md).",
        markdown.section("Options", markdown.table(("option", "meaning"), rows)),
        markdown.section(
            "Environment", "A flag counts more.", markdown.table(("option", "variable"), variables)
        ),
        markdown.section("Exit status", markdown.table(("code", "meaning"), codes)),
    )


def _entry(command: Command) -> str:
    rows = [(markdown.code(each.words), markdown.plain(each.meaning)) for each in command.arguments]
    return markdown.section(
        command.path,
        markdown.plain(command.about),
        markdown.block(command.usage),
        markdown.table(("argument", "meaning"), rows) if rows else "",
        markdown.block(command.examples, "sh") if command.examples else "",
    )
