"""`flanpyctl docker`: give Docker this host's subnet, compare what it runs, undo it.

Owns the way from settings and subnet.env to the parts in `flanpy.docker`, and the exit codes. What is printed is made
in `text`.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.name_servers import name_servers, refuse_without_file
from flanpy.cli.base.screen import next_step
from flanpy.docker.verdict import Mode
from flanpy.docker.wanted import Wanted, wanted
from flanpy.errors import DockerUnreachable
from flanpy.host import subnet_env
from flanpy.host.absent import Absent
from flanpy.model.condition import Status

if TYPE_CHECKING:
    from flanpy.docker.bip import BipPlan, DockerTarget
    from flanpy.docker.network import NetworkPlan

_Plan = TypeVar("_Plan", "BipPlan", "NetworkPlan")


def plan(arguments: Namespace, host: Host) -> Exit:
    """Show what apply would do."""
    from flanpy.cli.docker import text
    from flanpy.docker import bip, user_network

    asked = _wanted(host)
    if _mode(host) is Mode.NETWORK:
        refuse_without_file(arguments)
        network = user_network.plan(host.effective.docker.socket, asked)
        text.show_network(arguments.output, _warned(network, host, asked))
    else:
        planned = bip.plan(_place(arguments, host), asked)
        text.show_plan(arguments.output, _warned(planned, host, asked, asks=arguments.dns))
    if arguments.output == "table":
        next_step(f"Next: flanpyctl docker apply{' --dns' if arguments.dns else ''}")
    return Exit.OK


def apply(arguments: Namespace, host: Host) -> Exit:
    """Carry the plan out."""
    from flanpy.cli.docker import text
    from flanpy.docker import bip, user_network
    from flanpy.docker.restart import Choice

    asked = _wanted(host)
    if _mode(host) is Mode.NETWORK:
        refuse_without_file(arguments)
        if arguments.before_start:
            print("nothing to do before Docker runs")
            return Exit.OK
        network = _warned(user_network.apply(host.effective.docker.socket, asked), host, asked)
        text.show_network(arguments.output, network, done=True)
        return Exit.OK
    outcome = bip.apply(_place(arguments, host), asked)
    outcome = replace(outcome, plan=_warned(outcome.plan, host, asked))
    text.show_outcome(arguments.output, outcome)
    if outcome.plan.choice is Choice.VOID and outcome.docker is not None:
        raise CommandError(
            Exit.UNHEALTHY,
            "Docker was not restarted: with live-restore it keeps its old bip while containers run "
            f"({outcome.docker.running} now); stop them, then restart Docker",
        )
    return Exit.OK


def rollback(arguments: Namespace, host: Host) -> Exit:
    """Undo it."""
    from flanpy.cli.docker import text
    from flanpy.docker import bip, user_network

    if _mode(host) is Mode.NETWORK:
        gone = user_network.remove(host.effective.docker.socket)
        text.show_removed(arguments.output, removed=gone)
        return Exit.OK
    text.show_outcome(arguments.output, bip.rollback(_place(arguments, host)))
    return Exit.OK


def status(arguments: Namespace, host: Host) -> Exit:
    """Compare Docker's running state with subnet.env: OK, UNHEALTHY, or UNREACHABLE."""
    from flanpy.cli.docker import text
    from flanpy.docker import survey
    from flanpy.docker.verdict import DockerStandard, Silent, judge

    options = host.effective.docker
    asked = _wanted(host)
    look = survey.look(options.socket, options.config_file, asked)
    # The caller wants Docker to use the overlay: a Docker that does not is a fault, not a choice.
    mode = Mode(options.mode)
    condition = judge(
        look, DockerStandard(mode=mode, wanted=asked, accepts=host.effective.filter.iptables_forward_rules)
    )
    text.show_status(arguments.output, look, asked, condition, warnings=_remarks(host, asked))
    if isinstance(look.found, Silent):
        raise DockerUnreachable(look.found.detail)
    if condition.status is not Status.TRUE:
        cure = f"; {condition.cure}" if condition.cure else ""
        raise CommandError(Exit.UNHEALTHY, f"{condition.reason}: {condition.message}{cure}")
    return Exit.OK


def _warned(plan: _Plan, host: Host, asked: Wanted, *, asks: bool = False) -> _Plan:
    """Return the plan with what it warns of besides; with `asks` it has containers ask for names."""
    return replace(plan, notes=(*plan.notes, *_remarks(host, asked, asks=asks)))


def _remarks(host: Host, asked: Wanted, *, asks: bool = False) -> tuple[str, ...]:
    """Return a line for each pool from which Docker may take a peer's subnet, and for names that nobody asks for."""
    from flanpy.docker import dockerd
    from flanpy.docker.effective import names_unasked, pools_within
    from flanpy.docker.local import told_settings

    settings = told_settings(host.effective.docker.config_file)
    flags = dockerd.started(dockerd.running_pid(settings)).flags
    listen = host.effective.dns_listen
    unasked = names_unasked(settings, flags, str(listen.host)) if listen is not None and not asks else ()
    return (*pools_within(settings, flags, asked.network), *unasked)


def _mode(host: Host) -> Mode:
    mode = Mode(host.effective.docker.mode)
    if mode is Mode.OFF:
        raise CommandError(Exit.REFUSED, "docker-mode is off: say --mode bip or --mode network")
    return mode


def _wanted(host: Host) -> Wanted:
    path = host.effective.subnet_file
    env = subnet_env.read(path)
    if isinstance(env, Absent):
        raise CommandError(Exit.NOT_FOUND, f"{env.reason or f'there is no {path}'}: is flanpyd running?")
    return wanted(env.network, env.subnet, env.mtu, ipmasq=env.ipmasq, subnet6=env.ipv6_subnet)


def _place(arguments: Namespace, host: Host) -> DockerTarget:
    from flanpy.docker.bip import DockerTarget
    from flanpy.docker.restart import How, RestartPolicy

    options = host.effective.docker
    return DockerTarget(
        file=options.config_file,
        socket=options.socket,
        policy=RestartPolicy(options.restart),
        how=How(options.restart_command, options.restart_timeout),
        keep_masquerade=getattr(arguments, "keep_ip_masq", False),
        servers=name_servers(host, asked_for=getattr(arguments, "dns", False)),
        before_start=getattr(arguments, "before_start", False),
    )
