"""The manual pages: one for each program, command and file, whole, and rendered without a warning."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from docs.generate.man import pages
from docs.generate.programs import flanpyctl
from flanpy.config.options import OPTIONS

PAGES = pages()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    for name, text in PAGES.items():
        (made / name).write_text(text)
    return made


def rendered(page: Path) -> str:
    shown = subprocess.run(
        ["man", "--warnings=w", "--encoding=UTF-8", "--local-file", str(page)],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PAGER": "cat"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert shown.stderr == "", page.name
    return shown.stdout


@pytest.mark.parametrize("name", sorted(PAGES))
def test_manual_page_renders_without_a_warning(directory: Path, name: str) -> None:
    text = rendered(directory / name)
    for heading in ("NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"):
        assert f"\n{heading}\n" in text
    assert "\\" not in text.replace("\\(", "")


def test_every_command_has_a_page_of_its_own() -> None:
    programs = {"flanpyd.8", "flanpyctl.1", "flanpyd.toml.5", "flanpy-store.8"}
    assert PAGES.keys() == programs | {f"{command.page}.1" for command in flanpyctl().below}


def test_pages_of_daemon_and_file_have_every_setting(directory: Path) -> None:
    daemon, file = rendered(directory / "flanpyd.8"), rendered(directory / "flanpyd.toml.5")
    for option in OPTIONS:
        assert f"       --{option.name}" in daemon
        assert option.in_file == (f"\n       {option.name}" in file), option.name


def test_see_also_names_pages_that_exist() -> None:
    for name, text in PAGES.items():
        refs = text.partition(".SH SEE ALSO\n")[2].replace("\\fB", "").replace("\\fR", "").replace("\\-", "-")
        for ref in refs.replace(",", " ").split():
            page, _, section = ref.partition("(")
            assert f"{page}.{section.rstrip(')')}" in PAGES, f"{name} refers to {ref}"
