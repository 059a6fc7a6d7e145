"""The commands of pages: what a page says of them is understood, and every command is run by something."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.pages import PageError, commands

ROOT = Path(__file__).resolve().parents[2]
PROSE = sorted(
    path
    for directory in ("tutorial", "howto", "explanation")
    for path in (ROOT / "docs" / directory).glob("*.md")
)
PAGE = """
<!-- run: host1 host2; 10.50.1.2 is what it prints -->
```sh
hostname -I
ls
```

<!-- run elsewhere: tests/ansible/test_site.py -->
```sh
ansible-playbook site.yml
```
"""


def test_a_block_knows_its_places_its_text_and_what_its_output_stands_for() -> None:
    first, second = commands(PAGE)
    assert (first.places, first.stands_for) == (("host1", "host2"), "10.50.1.2")
    assert first.text == "hostname -I\nls"
    assert second.elsewhere == "tests/ansible/test_site.py"


def test_commands_without_a_word_on_where_they_run_are_refused() -> None:
    with pytest.raises(PageError, match="line 1"):
        commands("```sh\nls\n```\n")


def test_a_word_that_is_not_understood_is_refused() -> None:
    with pytest.raises(PageError, match="sometimes"):
        commands("<!-- run: host1; sometimes -->\n```sh\nls\n```\n")


@pytest.mark.parametrize("path", PROSE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_block_of_every_page_says_who_runs_it(path: Path) -> None:
    for block in commands(path.read_text()):
        if block.elsewhere:
            assert (ROOT / block.elsewhere).is_file(), f"{path}:{block.line}: no test {block.elsewhere}"
        else:
            assert block.places, f"{path}:{block.line}: run where?"
