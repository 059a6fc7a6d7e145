"""The arguments of `flanpyctl network`, `config`, `reload`, `version` and `completion`."""

from __future__ import annotations

from typing import Final

from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Parser, Tree, add_force, add_format

_SET: Final = """\
Replace the network config. Running hosts move to another backend one by one, and packets go on meanwhile. --encrypt
moves them to Backend wireguard and keeps the present one in the config, --no-encrypt moves them back; status and peers
name the hosts that are still in clear. Containers get an MTU of 1420 where vxlan gave 1450."""

SHELLS: Final = ("bash", "zsh", "fish")


def add_network(tree: Tree) -> None:
    """Add `network` and what is below it."""
    network = tree.command(
        "network",
        "config.network:show",
        "show, make, change or check the network config",
        "network\n network init 10.50.0.0/16 --backend vxlan",
    )
    add_format(network, *FORMATS)
    below = tree.under(network, required=False)
    show = below.command(
        "show", "config.network:show", "show the network config, defaults filled in", "network show -o json"
    )
    add_format(show, *FORMATS)
    _add_network_init(below)
    change = below.command(
        "set",
        "config.network:replace",
        "replace the network config",
        "network set network.json\n network set - < network.json\n network set --encrypt",
        about=_SET,
    )
    change.add_argument(
        "file", metavar="FILE", nargs="?", default=None, help="JSON in flannel's format; - is standard input"
    )
    _add_encryption(change)
    add_force(change, "also if leased subnets do not fit it, hosts do not allow it, or it leads nowhere")
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


def _add_encryption(change: Parser) -> None:
    which = change.add_mutually_exclusive_group()
    which.add_argument(
        "--encrypt",
        action="store_true",
        default=False,
        help="in place of FILE: the present network, by WireGuard",
    )
    which.add_argument(
        "--no-encrypt",
        action="store_true",
        default=False,
        help="in place of FILE: the present network, by the backend it had before",
    )
    change.add_argument(
        "--backend", metavar="TYPE", default=None, help="with --no-encrypt: the backend to go to instead"
    )


def _add_network_init(tree: Tree) -> None:
    init = tree.command(
        "init",
        "config.network:init",
        "create the network config if there is none",
        """network init 10.50.0.0/16 --backend vxlan
        network init 10.50.0.0/16 --option VNI=7 --option DirectRouting=true
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
    init.add_argument(
        "--encrypt", action="store_true", default=False, help="encrypt what goes between hosts, by WireGuard"
    )
    add_force(init, "also a network that hosts do not allow without a setting of their own")


def _add_config_show(parser: Parser) -> None:
    add_format(parser, *FORMATS)
    parser.add_argument(
        "--local",
        action="store_true",
        default=False,
        help="what a daemon started now would use, not the running one",
    )


def add_config(tree: Tree) -> None:
    """Add `config`, what is below it, and `reload`."""
    config = tree.command(
        "config",
        "config.settings:show",
        "show the settings and where each comes from",
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


def add_program(tree: Tree) -> None:
    """Add the commands about flanpyctl itself: `version`, `help` and `completion`."""
    version = tree.command("version", "config.version:show", "print the version", "version -o json")
    add_format(version, *FORMATS)
    helped = tree.command(
        "help",
        "config.help:show",
        "show a command, the settings, or the exit codes",
        "help ping\n help settings\n help exit-codes",
    )
    helped.add_argument(
        "topic", metavar="TOPIC", nargs="*", default=[], help="a command, settings, or exit-codes"
    )
    completion = tree.command(
        "completion",
        "config.completion:show",
        "print a completion script for a shell",
        """completion bash > /etc/bash_completion.d/flanpyctl
        completion zsh > "${fpath[1]}/_flanpyctl"
        completion fish > ~/.config/fish/completions/flanpyctl.fish""",
    )
    completion.add_argument("shell", choices=SHELLS, help="whose")
