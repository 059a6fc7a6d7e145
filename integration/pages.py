"""Owns how the commands of a documentation page are found, and what their author says of where they run.

A block of commands is a fence with `sh`, and a comment before it says where:

    <!-- run: host1 host2 -->                        on each of these in turn, and all must succeed
    <!-- run: host1; 10.50.23.2 is what it prints --> later blocks have what it printed where the page has this text
    <!-- run: host1; TOKEN comes after <<< in what it prints -->   the same for one word of it
    <!-- run: host1; ends with 5 -->                  it comes to end with this code in a while
    <!-- run: checkout; until Enter -->               it runs until the blocks after it are done
    <!-- run elsewhere: tests/ansible/test_site.py --> that test runs them

Pure: it reads text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile

_COMMENT = re.compile(r"^\s*<!--\s*run(?P<elsewhere> elsewhere)?:\s*(?P<said>.+?)\s*-->\s*$")
_FENCE = re.compile(r"^\s*```sh\s*$")
_PRINTS = re.compile(r"^(?P<text>\S+) is what it prints$")
_COMES_AFTER = re.compile(r"^(?P<text>\S+) comes after (?P<before>\S+) in what it prints$")
_UNTIL_ENTER = "until Enter"
_ENDS = re.compile(r"^ends with (?P<code>\d+)$")


class PageError(ValueError):
    """A block whose author does not say where it runs, or says it in other words than these."""


@dataclass(frozen=True, slots=True)
class Commands:
    """One block. `line` is where it starts; `stands_for` is the page's text for what it prints, or for the
    word of it that `comes_after` another; `code` is what it ends with in a while; without one it succeeds at once.
    `shows` is the sample of its output, the `text` after it.
    """

    line: int
    text: str
    places: tuple[str, ...] = ()
    elsewhere: str = ""
    stands_for: str = ""
    comes_after: str = ""
    code: int | None = None
    until_enter: bool = False
    shows: str = ""


def commands(page: str) -> list[Commands]:
    """Every block of commands of a page, in order. Raises PageError."""
    return list(_blocks(page.splitlines()))


def _blocks(lines: list[str]) -> Iterator[Commands]:
    said: re.Match[str] | None = None
    at = 0
    while at < len(lines):
        if found := _COMMENT.match(lines[at]):
            said = found
        elif _FENCE.match(lines[at]):
            end = next(index for index in range(at + 1, len(lines)) if lines[index].strip() == "```")
            if said is None:
                raise PageError(f"line {at + 1}: commands without a comment that says where they run")
            yield replace(
                _block(at + 1, "\n".join(lines[at + 1 : end]), said), shows=_sample(lines[end + 1 :])
            )
            said, at = None, end
        at += 1


def _sample(lines: list[str]) -> str:
    """Return the `text` that follows at once, "" if there is none."""
    left = dropwhile(lambda line: not line.strip(), lines)
    if next(left, "").strip() != "```text":
        return ""
    return "\n".join(takewhile(lambda line: line.strip() != "```", left))


def _block(line: int, text: str, said: re.Match[str]) -> Commands:
    where, *others = (part.strip() for part in said["said"].split(";"))
    if said["elsewhere"]:
        return Commands(line, text, elsewhere=where)
    stands_for = comes_after = ""
    code: int | None = None
    until_enter = _UNTIL_ENTER in others
    others = [each for each in others if each != _UNTIL_ENTER]
    for each in others:
        if found := _PRINTS.match(each):
            stands_for = found["text"]
        elif found := _COMES_AFTER.match(each):
            stands_for, comes_after = found["text"], found["before"]
        elif found := _ENDS.match(each):
            code = int(found["code"])
        else:
            raise PageError(f"line {line}: {each!r} is not understood")
    return Commands(
        line,
        text,
        tuple(where.split()),
        stands_for=stands_for,
        comes_after=comes_after,
        code=code,
        until_enter=until_enter,
    )
