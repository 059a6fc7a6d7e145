"""The tree of commands: names, arguments, help texts, and which function runs each.

Owns what can be typed. Must not import the commands themselves: a command is named as `module:function` and imported
when it is run, so that none pays for another's imports.
"""

from __future__ import annotations

import argparse
from argparse import SUPPRESS, ArgumentParser
from typing import Any, NoReturn

from flanpy.cli.base.exits import MEANINGS
from flanpy.cli.base.output import FORMATS
from flanpy.cli.docker.arguments import DOCKER_OPTIONS, add_docker
from flanpy.cli.leave.arguments import add_leaving
from flanpy.cli.look.arguments import add_inspection
from flanpy.config.arguments import add_arguments
from flanpy.errors import UsageError

ETCD_OPTIONS = (
    "etcd-endpoints",
    "etcd-prefix",
    "etcd-keyfile",
    "etcd-certfile",
    "etcd-cafile",
    "etcd-username",
    "etcd-password",
)
HOST_OPTIONS = ("node-id", "run-dir", "state-dir", "subnet-file", "config")
OPTIONS = (*ETCD_OPTIONS, *HOST_OPTIONS)

SHELLS = ("bash", "zsh", "fish")


class Parser(ArgumentParser):
    """Raises UsageError instead of exiting, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")

    def format_help(self) -> str:
        """The usage line tells what is the command's own; the settings, the same everywhere, are listed below it."""
        settings = {name.replace("-", "_") for name in (*OPTIONS, *DOCKER_OPTIONS)}
        formatter = argparse.HelpFormatter(self.prog)
        formatter.add_usage(None, [one for one in self._actions if one.dest not in settings], [])
        self.usage = formatter.format_help().removeprefix("usage: ").strip() + " [SETTING...]"
        return super().format_help()


def build() -> Parser:
    """The whole parser. Options of the host may stand before or after the command."""
    parser = Parser(
        prog="flanpyctl",
        description="Look at and steer the overlay network: through the local flanpyd, or etcd alone.",
        epilog=f"""\
examples:
  flanpyctl network init 10.50.0.0/16 --backend vxlan
  flanpyctl subnets
  flanpyctl status --wait
  flanpyctl subnets reserve 10.50.7.0/24 --public-ip 192.0.2.7

Settings come from the same flags, environment and file as flanpyd's: on a host that runs it none is needed.

{MEANINGS}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    _add_options(parser)
    tree = _Tree(parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=False))
    _add_network(tree)
    _add_subnets(tree)
    _add_daemon(tree)
    add_inspection(tree, _add_format)
    add_docker(tree, _add_format)
    _add_local(tree)
    return parser


def _add_options(parser: ArgumentParser) -> None:
    add_arguments(parser.add_argument_group("settings: etcd"), ETCD_OPTIONS)
    add_arguments(parser.add_argument_group("settings: this host"), HOST_OPTIONS)


class _Tree:
    """Adds commands to one level."""

    def __init__(self, actions: Any) -> None:
        self._actions = actions

    def command(self, name: str, run: str, summary: str, examples: str = "", **more: Any) -> Parser:
        """A command that `run` (module:function under flanpy.cli) carries out."""
        parser: Parser = self._actions.add_parser(
            name,
            help=summary,
            description=more.pop("about", f"{summary[0].upper()}{summary[1:]}."),
            epilog=f"examples:\n{_indented(examples)}\n\n{MEANINGS}" if examples else MEANINGS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=SUPPRESS,
            allow_abbrev=False,
            **more,
        )
        parser.set_defaults(run=run)
        _add_options(parser)
        return parser

    def under(self, parser: Parser, *, required: bool) -> _Tree:
        """The level of commands below `parser`."""
        return _Tree(
            parser.add_subparsers(title="commands", metavar="COMMAND", dest="subcommand", required=required)
        )


def _indented(lines: str) -> str:
    return "\n".join(f"  flanpyctl {line.strip()}" for line in lines.strip().splitlines())


def _add_format(parser: Parser, *choices: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        choices=choices,
        default=choices[0],
        help=f"form of the output (default {choices[0]})",
    )


def _add_force(parser: Parser, help_text: str) -> None:
    parser.add_argument("--force", action="store_true", default=False, help=help_text)


def _add_network(tree: _Tree) -> None:
    network = tree.command(
        "network",
        "config.network:show",
        "the network config in etcd (show, init, set, validate)",
        "network\n network init 10.50.0.0/16 --backend vxlan",
    )
    _add_format(network, *FORMATS)
    below = tree.under(network, required=False)
    show = below.command(
        "show", "config.network:show", "show the network config, defaults filled in", "network show -o json"
    )
    _add_format(show, *FORMATS)
    _add_network_init(below)
    change = below.command(
        "set",
        "config.network:replace",
        "replace the network config",
        "network set network.json\n network set - < network.json",
    )
    change.add_argument("file", metavar="FILE", help="JSON in flannel's format; - is standard input")
    _add_force(change, "also if subnets already leased do not fit the new config")
    validate = below.command(
        "validate",
        "config.network:validate",
        "judge a network config without writing it",
        "network validate network.json\n network validate",
    )
    validate.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=None,
        help="JSON; - is standard input; without it what etcd has",
    )


def _add_network_init(tree: _Tree) -> None:
    init = tree.command(
        "init",
        "config.network:init",
        "create the network config if there is none",
        """network init 10.50.0.0/16 --backend vxlan
        network init 10.50.0.0/16 --subnet-len 26 --backend vxlan --option VNI=7 --option DirectRouting=true
        network init 10.50.0.0/16 --network6 fd50:1::/48 --backend host-gw""",
    )
    init.add_argument("network", metavar="NETWORK", help="the IPv4 range of all hosts, as 10.50.0.0/16")
    init.add_argument(
        "--network6", metavar="NETWORK", default=None, help="the IPv6 range as well, as fd50:1::/48"
    )
    init.add_argument(
        "--subnet-len", type=int, metavar="BITS", default=None, help="prefix length of a host's subnet"
    )
    init.add_argument("--subnet-min", metavar="ADDRESS", default=None, help="first subnet that may be leased")
    init.add_argument("--subnet-max", metavar="ADDRESS", default=None, help="last subnet that may be leased")
    init.add_argument("--backend", metavar="TYPE", default="vxlan", help="backend type (default vxlan)")
    init.add_argument(
        "--option", metavar="KEY=VALUE", action="append", default=[], help="option of the backend; repeatable"
    )


def _add_subnets(tree: _Tree) -> None:
    subnets = tree.command(
        "subnets",
        "subnets.subnets:show_all",
        "the hosts' subnets (list, show, reserve, pin, unpin, release)",
        """subnets
        subnets -o wide
        subnets --watch
        subnets -o json --expiry --etcd-endpoints http://192.0.2.1:2379""",
        about="""\
List leases and reservations. The local daemon answers if it runs; with --etcd or any --etcd-... flag etcd is asked.
When a lease expires only etcd knows, one request for each: the column is there with --expiry and -o wide, and if etcd
is asked anyway and has no more than 200 leases.""",
    )
    _add_listing(subnets)
    below = tree.under(subnets, required=False)
    listing = below.command(
        "list", "subnets.subnets:show_all", "list leases and reservations", "subnets list -o name"
    )
    _add_listing(listing)
    show = below.command(
        "show",
        "subnets.subnets:show_one",
        "one subnet in full",
        "subnets show 10.50.7.0/24\n subnets show own\n subnets show node-7 -o json",
    )
    show.add_argument("subnet", metavar="SUBNET", help="a subnet, a node, a public IP, or 'own'")
    _add_source(show)
    _add_format(show, *FORMATS)
    _add_reserve(below)
    _add_holds(below)


def _add_listing(parser: Parser) -> None:
    _add_format(parser, "table", "wide", "json", "yaml", "name")
    parser.add_argument(
        "--watch", "-w", action="store_true", default=False, help="go on, print again on each change"
    )
    parser.add_argument(
        "--expiry", action="store_true", default=False, help="ask etcd when each lease expires"
    )
    _add_source(parser)


def _add_source(parser: Parser) -> None:
    parser.add_argument(
        "--etcd",
        "--no-daemon",
        action="store_true",
        default=False,
        help="ask etcd even if a daemon runs here",
    )


def _add_reserve(tree: _Tree) -> None:
    reserve = tree.command(
        "reserve",
        "subnets.holding:reserve",
        "keep a free subnet for a host, for ever",
        """subnets reserve 10.50.7.0/24 --public-ip 192.0.2.7
        subnets reserve 10.50.7.0/24 --public-ip 192.0.2.7 --node-id node-7""",
    )
    reserve.add_argument(
        "subnet", metavar="FREE_SUBNET", help="as 10.50.7.0/24; with IPv6 as 10.50.7.0/24,fd50:1:0:7::/64"
    )
    reserve.add_argument(
        "--public-ip", dest="for_public_ip", metavar="ADDRESS", default=None, help="the host's address"
    )
    reserve.add_argument(
        "--public-ipv6", dest="for_public_ip6", metavar="ADDRESS", default=None, help="its IPv6 address"
    )
    reserve.add_argument("--for-node", metavar="ID", default="", help="the host's node id")


def _add_holds(tree: _Tree) -> None:
    pin = tree.command(
        "pin",
        "subnets.holding:pin",
        "make a lease a reservation: it no longer expires",
        "subnets pin 10.50.7.0/24",
    )
    unpin = tree.command(
        "unpin",
        "subnets.holding:unpin",
        "make a reservation a lease again: it expires if its host does not renew it",
        "subnets unpin 10.50.7.0/24",
    )
    release = tree.command(
        "release",
        "subnets.holding:release",
        "give a subnet back",
        "subnets release 10.50.7.0/24\n subnets release 10.50.7.0/24 --force",
        about="""\
Give a subnet back. One that a host uses is refused without --force, unless it is this host's and no daemon runs.""",
    )
    for parser in (pin, unpin, release):
        parser.add_argument(
            "subnet", metavar="SUBNET", help="as 10.50.7.0/24, or a node, a public IP, or 'own'"
        )
    _add_force(release, "also a subnet that is in use: its host loses it")


def _add_daemon(tree: _Tree) -> None:
    status = tree.command(
        "status",
        "look.status:show",
        "health of the local flanpyd; exit 5 while it is not ready",
        "status\n status --wait --timeout 30\n status -o json",
    )
    _add_format(status, *FORMATS)
    status.add_argument("--wait", action="store_true", default=False, help="wait until it is ready")
    status.add_argument(
        "--timeout", type=float, metavar="SECONDS", default=60.0, help="how long to wait (default 60)"
    )
    diff = tree.command(
        "diff",
        "look.diff:show",
        "what the daemon's next pass would change, as ip and bridge lines",
        "diff\n diff -o json",
    )
    _add_format(diff, "lines", "json", "yaml")
    config = tree.command(
        "config",
        "config.settings:show",
        "settings and where each comes from (show, env)",
        "config show\n config show --local\n config env > /etc/default/flanpyd",
    )
    _add_config_show(config)
    below = tree.under(config, required=False)
    _add_config_show(
        below.command(
            "show", "config.settings:show", "show settings and where each comes from", "config show -o json"
        )
    )
    below.command(
        "env",
        "config.settings:env",
        "print an environment file with every setting as a comment",
        "config env",
    )
    tree.command("reload", "config.reload:reload", "make the daemon read its settings again", "reload")


def _add_config_show(parser: Parser) -> None:
    _add_format(parser, *FORMATS)
    parser.add_argument(
        "--local",
        action="store_true",
        default=False,
        help="what a daemon started now would use, not the running one",
    )


def _add_local(tree: _Tree) -> None:
    add_leaving(tree, _add_force)
    version = tree.command("version", "config.version:show", "version of flanpyctl", "version -o json")
    _add_format(version, *FORMATS)
    completion = tree.command(
        "completion",
        "config.completion:show",
        "completion script for a shell",
        """completion bash > /etc/bash_completion.d/flanpyctl
        completion zsh > "${fpath[1]}/_flanpyctl"
        completion fish > ~/.config/fish/completions/flanpyctl.fish""",
    )
    completion.add_argument("shell", choices=SHELLS, help="whose")
