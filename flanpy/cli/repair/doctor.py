"""`flanpyctl doctor`: gather, diagnose, print, and with --fix repair what is safe to repair.

Owns the form of the findings; what is found is `flanpy.doctor`'s, and `doctor_fix` runs the repairs. `-o json` is
`{"healthy", "findings": [...], "checked": [ids], "unread": {source: why}}`.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import print_as, printable
from flanpy.cli.base.wording import plural
from flanpy.doctor.finding import Finding, Severity
from flanpy.errors import UsageError

if TYPE_CHECKING:
    from flanpy.doctor.gather import Sources

"""Node ids and reasons come from etcd: a control character in them must not reach the terminal."""

_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold"}


def show(arguments: Namespace, host: Host) -> Exit:
    """OK, UNHEALTHY, or UNREACHABLE without a daemon; with --fix by what is found after it."""
    from flanpy.doctor.gather import gather
    from flanpy.doctor.registry import diagnose

    if getattr(arguments, "fix", False) and arguments.output != "table":
        raise UsageError("--fix asks and tells: use it without -o json")
    facts = gather(_sources(host))
    findings: Sequence[Finding] = diagnose(facts)
    if arguments.output == "table":
        _print(findings, facts.unread, facts.cluster.text, verbose=getattr(arguments, "verbose", False))
    else:
        print_as(arguments.output, _document(findings, facts.unread))
    if getattr(arguments, "fix", False):
        findings = _fixed(findings, host, yes=arguments.yes)
    if facts.daemon_problem:
        return Exit.UNREACHABLE
    return Exit.UNHEALTHY if _is_unhealthy(findings) else Exit.OK


def _fixed(findings: Sequence[Finding], host: Host, *, yes: bool) -> Sequence[Finding]:
    """Repair, and return the findings that remain. Raises CommandError if a repair failed."""
    from flanpy.cli.repair.doctor_fix import outcome, repair, settled
    from flanpy.doctor.gather import gather
    from flanpy.doctor.registry import diagnose

    fixed = repair(findings, host, yes=yes)
    if fixed.done:
        before = findings
        findings, left = settled(before, fixed, lambda: diagnose(gather(_sources(host))))
        for line in outcome(before, fixed, left):
            print(line)
        print(f"now: {_summary(findings)}")
    if fixed.failed:
        raise CommandError(Exit.FAILURE, f"could not repair: {'; '.join(map(str, fixed.failed))}")
    return findings


def _sources(host: Host) -> Sources:
    from flanpy.config.loading import describe
    from flanpy.doctor.gather import Sources

    described = describe(host.settings)
    return Sources(
        ask=host.control.get,
        settings={one.name: one.value for one in described},
        in_files=frozenset(one.name for one in described if one.origin.startswith("file")),
        etcd_named=host.etcd_named,
    )


def _is_unhealthy(findings: Iterable[Finding]) -> bool:
    return any(finding.severity.is_unhealthy for finding in findings)


def _document(findings: Sequence[Finding], unread: Any) -> dict[str, Any]:
    from flanpy.doctor.registry import checked

    return {
        "healthy": not _is_unhealthy(findings),
        "findings": [finding.as_json() for finding in findings],
        "checked": list(checked()),
        "unread": dict(unread),
    }


def _print(findings: Sequence[Finding], unread: Any, cluster: str, *, verbose: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def line(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style=style))

    shown = [one for one in findings if verbose or not one.follows]
    for number, finding in enumerate(shown):
        if number:
            line("")
        _print_finding(finding, line)
        _print_following([] if verbose else findings, finding, line)
    if findings:
        line("")
    line(_summary(findings))
    if cluster:
        line(f"cluster: {cluster}")
    if verbose:
        _print_checked(findings, line)
    _print_unread(unread)


def _print_finding(finding: Finding, line: Any) -> None:
    line(f"{finding.id}  {finding.severity.value}: {finding.title}", _STYLES[finding.severity])
    for evidence in finding.evidence:
        line(f"     {evidence}")
    if finding.cure:
        line(f"     Fix: {finding.cure}", "green")
    for text in finding.grant.splitlines():
        line(text)
    if finding.repair:
        line(f"     --fix: {finding.repair}", "cyan")
    line(f"     See: {finding.page}")


def _print_following(findings: Sequence[Finding], cause: Finding, line: Any) -> None:
    """Name what a finding explains, but for the details."""
    following = [one for one in findings if one.follows == cause.id]
    if following and cause.condition:
        names = ", ".join(f"{one.id} {one.title}" for one in following)
        line(f"     {plural(len(following), 'consequence')} (-v): {names}")


def _print_unread(unread: Any) -> None:
    """But for the daemon: that it is silent is a finding."""
    for source, why in unread.items():
        if source != "daemon":
            print(printable(f"not read: {source}: {why}"), file=sys.stderr)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
    said = [plural(count, severity.value) for severity, count in counts.items() if count]
    if not said:
        return "this host is well"
    return ", ".join(said) if _is_unhealthy(findings) else f"healthy; {', '.join(said)}"


def _print_checked(findings: Sequence[Finding], line: Any) -> None:
    from flanpy.doctor.registry import CHECKS

    ailing = {finding.id for finding in findings}
    for check in sorted(CHECKS, key=lambda one: one.id):
        line(f"{check.id}  {'see above' if check.id in ailing else 'ok'}: {check.title}")
