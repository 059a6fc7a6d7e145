"""A reader who types what a page says, on hosts that boot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from integration.hosts.systemd import SystemdHost
from integration.pages import Commands, commands
from tests.lab.overlay import eventually

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = "checkout"
BLOCK_DEADLINE_S = 300.0
ENDS_DEADLINE_S = 90.0


class Reader:
    """Types the blocks of pages in order: `hosts` by the pages' names, `known` is what pages call otherwise."""

    def __init__(self, hosts: Mapping[str, SystemdHost], known: Mapping[str, str]) -> None:
        self._hosts = dict(hosts)
        self._known = dict(known)
        self._read: set[Path] = set()

    def has_read(self, page: Path) -> bool:
        """Report whether this page was begun."""
        return page in self._read

    def follow(self, page: Path) -> None:
        """Type everything; an AssertionError names the line of what went wrong."""
        self._read.add(page)
        running: list[subprocess.Popen[str]] = []
        try:
            for block in commands(page.read_text()):
                for place in block.places:
                    if block.until_enter:
                        running.append(_begin(self._text(block)))
                    else:
                        self._type(page, block, place)
        finally:
            for one in running:
                _press_enter(one)

    def prepare(self, scripts: Mapping[str, str]) -> None:
        """Run what is not on the page, by host; all of it has to succeed."""
        for place, script in scripts.items():
            done = self._run(script, place)
            assert done.returncode == 0, f"{script!r} on {place}: {done.stdout}{done.stderr}"

    def _text(self, block: Commands) -> str:
        text = block.text
        for said, meant in self._known.items():
            text = text.replace(said, meant)
        return text

    def _type(self, page: Path, block: Commands, place: str) -> None:
        done = self._run(self._text(block), place)

        def code() -> int:
            nonlocal done
            if done.returncode != block.code:
                done = self._run(self._text(block), place)
            return done.returncode

        if block.code is not None:
            eventually(lambda: code() == block.code, lambda: _told(page, block, place, done),
                       deadline=ENDS_DEADLINE_S)  # fmt: skip
        assert done.returncode == (block.code or 0), _told(page, block, place, done)
        assert shows(done.stdout, block.shows), f"{_told(page, block, place, done)}\nis not {block.shows!r}"
        if block.stands_for:
            self._known[block.stands_for] = meant(block, done.stdout)

    def _run(self, text: str, place: str) -> subprocess.CompletedProcess[str]:
        if place == CHECKOUT:
            return subprocess.run(
                ["sh", "-ec", text], cwd=ROOT, capture_output=True, text=True, check=False,
                timeout=BLOCK_DEADLINE_S, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        script = f"cd /root\n{text}"
        # root's shell
        return self._hosts[place].run("bash", "-ec", script, check=False, timeout=BLOCK_DEADLINE_S)


def meant(block: Commands, printed: str) -> str:
    """Return the text of what was printed that later blocks are to have."""
    if not block.comes_after:
        return printed.strip()
    return printed.partition(block.comes_after)[2].split()[0]


def shows(printed: str, sample: str) -> bool:
    """Report whether the page's sample is the program's own: its first line was printed, but for the figures in it."""
    first = sample.partition("\n")[0]
    return not first or _shape(first) in map(_shape, printed.splitlines())


def _shape(line: str) -> str:
    return " ".join(re.sub(r"[0-9a-f:.]*\d[0-9a-f:.]*", "#", line).split())


def _told(page: Path, block: Commands, place: str, done: subprocess.CompletedProcess[str]) -> str:
    where = f"{page.relative_to(ROOT)}:{block.line} on {place}"
    return f"{where} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def _begin(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "-ec", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True, env=dict(os.environ),
    )  # fmt: skip


def _press_enter(one: subprocess.Popen[str]) -> None:
    try:
        one.communicate("\n", timeout=60)
    finally:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@contextmanager
def clean_checkout() -> Iterator[None]:
    """Remove what a page's commands leave up in the checkout's labs."""
    try:
        yield
    finally:
        subprocess.run(["make", "lab-down"], cwd=ROOT, check=False, capture_output=True, timeout=120)
