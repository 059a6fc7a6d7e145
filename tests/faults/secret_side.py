"""Looks for secrets in all that a daemon lets out: logs, archives, pages, process lists, files and error messages.

It knows the secrets of the guarded lab by value, and the tokens that etcd gave out by their form; etcd itself, which
logs the tokens that it refuses, serves to show that the form is the right one.
"""

from __future__ import annotations

import re
import signal
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from integration.etcd.api import fetch
from integration.hosts.guarded import (
    NEXT_PASSWORD,
    PAGE_TOKEN,
    ROOT_PASSWORD,
    USER,
    USER_PASSWORD,
    GuardedDaemon,
    GuardedLab,
)
from integration.lab import Host, flanpyctl
from integration.net.namespaces import pids_in
from tests.lab.overlay import eventually

PAGE = ("127.0.0.1", 8474)
WRONG_PASSWORD = "swordfish-of-a-typing-error"
_TOKEN = re.compile(r"\b[A-Za-z]{16}\.\d{1,9}\b|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}")
"""etcd's simple tokens, and JSON web tokens."""
_CTL = (
    ("status", "-o", "json"),
    ("subnets", "list", "-o", "json"),
    ("config", "show"),
    ("events", "-o", "json"),
)


class Search:
    """The secrets of one lab, and the places where they must not be."""

    def __init__(self, lab: GuardedLab) -> None:
        self._lab = lab
        self._words = [
            USER_PASSWORD,
            NEXT_PASSWORD,
            ROOT_PASSWORD,
            PAGE_TOKEN,
            WRONG_PASSWORD,
            *_key_lines(lab),
        ]
        self._errors: dict[str, str] = {}

    def provoke(self, host: Host) -> None:
        """Everything wrong that may be wrong with a secret, with a daemon that says all it can say."""
        daemon = host.daemon
        assert isinstance(daemon, GuardedDaemon)
        right = daemon.secrets / f"{host.name}.key"
        kept = right.read_bytes()
        try:
            daemon.write_settings(log_level="debug", etcd_password=WRONG_PASSWORD)
            self._reloaded(host)
            self._lab.guarded.restart()
            eventually(
                lambda: "does not accept the password" in daemon.log_text(), daemon.log_tail, deadline=15
            )
            self._say(host, "wrong password")
            daemon.write_settings(
                log_level="debug", etcd_endpoints=[f"https://root:{ROOT_PASSWORD}@nowhere:1"]
            )
            daemon.signal(signal.SIGHUP)
            eventually(lambda: daemon.events("reload_refused"), daemon.log_tail)
            self._say(host, "endpoint with a password")
            daemon.write_settings(log_level="debug")
            right.write_bytes((daemon.secrets / "server.key").read_bytes())
            self._reloaded(host)
            self._lab.guarded.restart()
            self._say(host, "key of another certificate")
        finally:
            right.write_bytes(kept)
            daemon.write_settings(log_level="debug")
            self._reloaded(host)
        self._lab.witness()

    def _reloaded(self, host: Host) -> None:
        before = len(host.daemon.events("settings_reloaded"))
        host.daemon.signal(signal.SIGHUP)
        eventually(lambda: len(host.daemon.events("settings_reloaded")) > before, host.daemon.log_tail)

    def _say(self, host: Host, when: str) -> None:
        """Record the output of the commands that talk to etcd themselves."""
        for words in (("network", "show"), ("doctor",)):
            done = host.run(*flanpyctl(), *words, check=False)
            self._errors[f"{' '.join(words)} with {when}"] = done.stdout + done.stderr

    def places(self) -> dict[str, str]:
        """Every text that may be read by somebody, by where it is."""
        logs = {f"log of {host.name}": host.daemon.log_text(all_starts=True) for host in self._lab.residents}
        return logs | self._errors | _of_host(self._lab.residents[0])

    def controls(self) -> dict[str, str]:
        """Texts that do hold a secret each."""
        daemon = self._lab.residents[0].daemon
        assert isinstance(daemon, GuardedDaemon)
        texts = {
            "settings": daemon.settings_path.read_text(),
            "page token": (daemon.secrets / "page.token").read_text(),
            "key": (daemon.secrets / "h1.key").read_text(),
            "etcd's own log": "".join(
                member.log_text(all_starts=True) for member in self._lab.guarded.members
            ),
        }
        assert USER in texts["settings"]
        return texts

    def found_in(self, places: Mapping[str, str]) -> set[str]:
        """The places that hold a secret."""
        return {where for where, text in places.items() if self._tells(text)}

    def _tells(self, text: str) -> bool:
        return any(word in text for word in self._words) or _TOKEN.search(text) is not None


def _key_lines(lab: GuardedLab) -> list[str]:
    """The lines of every private key but the frame, which is no secret."""
    keys = (lab.directory / "pki").glob("*.key")
    return [line for key in keys for line in key.read_text().splitlines() if not line.startswith("-----")]


def _of_host(host: Host) -> dict[str, str]:
    daemon = host.daemon
    assert isinstance(daemon, GuardedDaemon)
    found = {"log": daemon.log_text(all_starts=True), "metrics": daemon.metrics()}
    for words in _CTL:
        done = host.run(*flanpyctl(), *words, check=False)
        found[f"flanpyctl {' '.join(words)}"] = done.stdout + done.stderr
    for path in ("/readyz?verbose", "/healthz", "/livez"):
        found[path] = daemon.fetch(path)[1]
    found["page"] = fetch(host.namespace, PAGE, "/")[1]
    found |= _archive(host)
    for pid in pids_in([host.namespace]):
        found[f"command line of {pid}"] = _read(Path(f"/proc/{pid}/cmdline"))
    for directory in (daemon.run_dir, daemon.state_dir):
        found |= {str(path): _read(path) for path in directory.rglob("*") if path.is_file()}
    found["subnet.env"] = daemon.subnet_path.read_text()
    return found


def _archive(host: Host) -> dict[str, str]:
    path = host.directory / "diag.tar.gz"
    done = host.run(*flanpyctl(), "diag", "-f", str(path), check=False, timeout=120)
    with tarfile.open(path) as archive:
        texts = {
            f"diag {member.name}": opened.read().decode(errors="replace")
            for member in archive
            if (opened := archive.extractfile(member)) is not None
        }
    return {**texts, "diag's own words": done.stdout + done.stderr}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # gone meanwhile
        return ""


@contextmanager
def sought(lab: GuardedLab) -> Iterator[Search]:
    """A search in a lab; its daemons have their settings back at the end."""
    try:
        yield Search(lab)
    finally:
        lab.use_endpoints(lab.guarded.endpoints)
