"""The tree of commands.

Owns the order of the commands in the help. Must not import the commands themselves: `arguments.py` of each subject
names a command as `module:function` below `flanpy.cli`, and `main` imports the one that runs.
"""

from __future__ import annotations

import argparse
from argparse import SUPPRESS
from collections.abc import Callable
from typing import Final

from flanpy.cli.base.exits import MEANINGS
from flanpy.cli.base.pages import front
from flanpy.cli.base.parser import Parser, Tree, add_options
from flanpy.cli.cluster.arguments import add_cluster
from flanpy.cli.config.arguments import add_config, add_network, add_program
from flanpy.cli.config.host_arguments import add_host
from flanpy.cli.containers.arguments import add_attach, add_link
from flanpy.cli.docker.arguments import add_docker
from flanpy.cli.keys.arguments import add_keys
from flanpy.cli.leave.arguments import add_cleanup, add_drain
from flanpy.cli.look.arguments import (
    add_diff,
    add_events,
    add_peers,
    add_ping,
    add_status,
    add_top,
    add_trace,
)
from flanpy.cli.networks.arguments import add_names, add_networks
from flanpy.cli.repair.arguments import add_diag, add_doctor
from flanpy.cli.store.arguments import add_store
from flanpy.cli.subnets.arguments import add_subnets

_COMMANDS: Final[tuple[Callable[[Tree], None], ...]] = (
    add_cluster,
    add_network,
    add_networks,
    add_names,
    add_subnets,
    add_status,
    add_diff,
    add_config,
    add_doctor,
    add_peers,
    add_ping,
    add_trace,
    add_events,
    add_top,
    add_keys,
    add_diag,
    add_docker,
    add_attach,
    add_link,
    add_store,
    add_drain,
    add_cleanup,
    add_host,
    add_program,
)


class Front(Parser):
    """The whole program: its help is the commands by what is asked."""

    def format_help(self) -> str:
        """Return the front page."""
        return front(self.summaries())

    def commands(self) -> dict[str, Parser]:
        """Return the commands by name."""
        return dict(self._below().choices)

    def summaries(self) -> dict[str, str]:
        """Return a line on each command."""
        return {one.dest: one.help or "" for one in self._below()._choices_actions}  # noqa: SLF001

    def _below(self) -> argparse._SubParsersAction[Parser]:
        found = (one for one in self._actions if isinstance(one, argparse._SubParsersAction))  # noqa: SLF001
        return next(found)


def build() -> Front:
    """The whole parser. Options of the host may stand before or after the command."""
    parser = Front(
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
    add_options(parser)
    tree = Tree(
        parser.add_subparsers(
            title="commands", metavar="COMMAND", dest="command", required=False, parser_class=Parser
        )
    )
    for add in _COMMANDS:
        add(tree)
    return parser
