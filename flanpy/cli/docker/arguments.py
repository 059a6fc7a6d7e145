"""The arguments of `flanpyctl docker` and what is below it."""

from __future__ import annotations

from typing import Final

from flanpy.cli.base.options import DOCKER_OPTIONS
from flanpy.cli.base.output import FORMATS
from flanpy.cli.base.parser import Parser, Tree, add_format
from flanpy.config.arguments import add_arguments

_SHORT: Final = {
    "--mode": ("docker-mode", "bip|network", "short for --docker-mode"),
    "--restart": ("docker-restart", "never|if-idle|always", "short for --docker-restart"),
}


def add_docker(tree: Tree) -> None:
    """Add `docker` and what is below it to a level of commands."""
    docker = tree.command(
        "docker",
        "docker.docker:status",
        "put Docker on this host's subnet, or take it off",
        "docker plan\n docker apply --restart if-idle\n docker apply --mode network\n docker status",
    )
    _add_settings(docker)
    add_format(docker, *FORMATS)
    below = tree.under(docker, required=False)
    for name, summary, examples, about in (_PLAN, _APPLY, _STATUS, _ROLLBACK):
        parser = below.command(name, f"docker.docker:{name}", summary, examples, about=about)
        _add_settings(parser)
        add_format(parser, *FORMATS)
        if name in {"plan", "apply", "status"}:
            parser.add_argument(
                "--keep-ip-masq",
                action="store_true",
                default=False,
                help="leave Docker's ip-masq as it is; without this it is the opposite of flanpyd's",
            )
        if name in {"plan", "apply"}:
            parser.add_argument(
                "--dns",
                action="store_true",
                default=False,
                help="have all containers ask flanpyd for names (dns-listen): put it first in dns of daemon.json",
            )
        if name == "apply":
            parser.add_argument(
                "--before-start",
                action="store_true",
                default=False,
                help="Docker is about to start and waits for this: write what it will read, and do not ask it",
            )
    _add_networks(below)
    _add_names(below)
    _add_links(below)
    _add_opts(below)


_PLAN: Final = (
    "plan",
    "show what apply would do, and change nothing",
    "docker plan\n docker plan --mode network -o json",
    """\
Show the change of daemon.json, the containers that a restart of Docker would stop, and whether live-restore would make
it void; or, in network mode, what would become of the network.""",
)
_APPLY: Final = (
    "apply",
    "give Docker this host's subnet and MTU",
    """docker apply
    docker apply --restart if-idle
    docker apply --docker-restart-command 'service docker restart'
    docker apply --dns
    docker apply --mode network""",
    """\
bip mode (the default): put bip, mtu and, if Docker would do otherwise, ip-masq into daemon.json, restart Docker if
--restart allows it, and verify what it then runs; if it does not come up so, the old file is put back.
With --dns also dns: flanpyd's resolver first, behind it the servers that stand there, else two of the host's.
network mode: create and keep the network 'flanpy' on the subnet; Docker is not restarted.""",
)
_STATUS: Final = (
    "status",
    "what Docker runs, against what the overlay asks; exit 5 if they differ",
    "docker status\n docker status -o json",
    "Compare what Docker really runs with subnet.env. Exit 5 if they differ, 3 if Docker does not answer.",
)
_ROLLBACK: Final = (
    "rollback",
    "undo what apply did to daemon.json or to Docker's networks",
    "docker rollback --restart if-idle\n docker rollback --mode network",
    """\
bip mode: give our keys in daemon.json the values that they had before the first apply; other keys stay as they are now.
network mode: remove the network 'flanpy' unless containers have it.""",
)


def _add_settings(parser: Parser) -> None:
    group = parser.add_argument_group("settings: Docker")
    add_arguments(group, DOCKER_OPTIONS)
    for flag, (name, metavar, text) in _SHORT.items():
        group.add_argument(flag, dest=name.replace("-", "_"), action="append", metavar=metavar, help=text)


def _add_networks(tree: Tree) -> None:
    networks = tree.command(
        "networks",
        "docker.networks:networks",
        "give Docker the named networks of this host",
        "docker networks\n docker networks --dry-run -o json",
        about="""\
Create, correct and remove Docker's networks, so that they are the named networks that this host is on. A network that
containers have is left as it is, and they are named: exit 6. flanpy-docker runs this whenever something changes.""",
    )
    _add_settings(networks)
    add_format(networks, *FORMATS)
    networks.add_argument(
        "--dry-run", action="store_true", default=False, help="show what would be done, and do nothing"
    )


def _add_names(tree: Tree) -> None:
    names = tree.command(
        "names",
        "docker.names:names",
        "tell flanpyd what Docker's containers are called",
        "docker names\n docker names --dry-run -o json\n docker names --follow",
        about="""\
Write the names, aliases and addresses of all running containers to a file that flanpyd reads and tells the other hosts.
With --follow do so at each change, without end: flanpy-docker-names.service runs that. Docker is never started.""",
    )
    _add_settings(names)
    add_format(names, *FORMATS)
    names.add_argument(
        "--follow", action="store_true", default=False, help="go on at each change until ended"
    )
    names.add_argument(
        "--dry-run", action="store_true", default=False, help="show what would be told, and write nothing"
    )


def _add_links(tree: Tree) -> None:
    links = tree.command(
        "links",
        "containers.links:links",
        "bring back the links of containers that started again",
        "docker links",
        about="""\
Make the devices of 'flanpyctl link' again for containers that were started again, and forget the links of those that
Docker has no more. flanpy-docker-links runs this with --follow as long as there are links. Needs root.""",
    )
    _add_settings(links)
    links.add_argument(
        "--follow",
        action="store_true",
        default=False,
        help="go on at each start of a container and of Docker, until no link is left",
    )


def _add_opts(tree: Tree) -> None:
    opts = tree.command(
        "opts",
        "docker.opts:opts",
        "write an environment file for dockerd, as flannel's mk-docker-opts does",
        "docker opts\n docker opts -c -d /run/docker.env -k DOCKER_NETWORK_OPTIONS",
        about="""\
Write Docker's flags for this host's subnet as variables, for units that start dockerd with $DOCKER_OPTS.
Without -i and -c both forms are written. Of subnet.env the subnet, the MTU and FLANNEL_IPMASQ are taken; DOCKER_OPT_*
come from the environment. Root writes to no directory of another user, who could change what dockerd reads.""",
    )
    opts.add_argument("-f", dest="flannel_env", metavar="FILE", default=None, help="subnet.env to read")
    opts.add_argument(
        "-d", dest="docker_env", metavar="FILE", default=None, help="file to write (/run/docker_opts.env)"
    )
    opts.add_argument(
        "-i", dest="single", action="store_true", default=False, help="each option as a variable"
    )
    opts.add_argument(
        "-c", dest="combined", action="store_true", default=False, help="all options in one variable"
    )
    opts.add_argument(
        "-k", dest="key", metavar="NAME", default=None, help="that variable's name (DOCKER_OPTS)"
    )
    opts.add_argument("-m", dest="no_masq", action="store_true", default=False, help="leave --ip-masq out")
