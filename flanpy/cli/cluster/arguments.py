"""The arguments of `flanpyctl cluster`."""

from __future__ import annotations

from typing import Final

from flanpy.cli.base.parser import Parser, Tree, add_force, add_format

_INIT: Final = """\
Make this host the first one of a cluster: an authority, the embedded store with TLS, the network, flanpyd, and Docker's
wiring. Without RANGE one is taken that nothing here uses. Wait until all is ready, then print the command for the other
hosts. A second run repairs what is missing and changes nothing else. Docker is restarted only while no container runs,
or with --yes. With --etcd no store is set up: the network is written to that etcd and flanpyd uses it; the same command
sets further hosts up, as tokens and 'cluster join' are the embedded store's."""
_JOIN: Final = """\
Make this host a member: its own key, a certificate, flanpyd and Docker's wiring, until it is ready. TOKEN comes from
'cluster init' or 'cluster token create'; '-' reads it from standard input, and so does no TOKEN at all, without an echo
on a terminal. A token on the command line is out of the process list at once, but stays in a shell's history. A run
that was cut off goes on where it was, by the same use of the token."""


def add_cluster(tree: Tree) -> None:
    """Add `cluster` with its commands."""
    cluster = tree.command(
        "cluster",
        "cluster.members:members",
        "make a cluster with one command a host: init, join",
        "cluster init\n cluster join - <<< TOKEN\n cluster members",
    )
    below = tree.under(cluster, required=True)
    _add_init(below)
    _add_join(below)
    _add_token(below)
    members = below.command(
        "members", "cluster.members:members", "list the hosts of the cluster", "cluster members -o json"
    )
    add_format(members, "table", "json", "yaml")
    _add_leaving(below)


def _add_init(below: Tree) -> None:
    init = below.command(
        "init",
        "cluster.init:init",
        "make this host the first one of a cluster",
        "cluster init\n cluster init --encrypt\n cluster init 10.50.0.0/16 --backend host-gw --yes\n"
        " cluster init --etcd http://192.0.2.1:2379",
        about=_INIT,
    )
    init.add_argument(
        "network",
        metavar="RANGE",
        nargs="?",
        default=None,
        help="range of all containers, such as 10.50.0.0/16",
    )
    init.add_argument(
        "--backend", metavar="TYPE", default="vxlan", help="backend of the network (default vxlan)"
    )
    init.add_argument(
        "--encrypt",
        action="store_true",
        default=False,
        help="encrypt what goes between hosts, by WireGuard; every host's kernel needs it",
    )
    init.add_argument(
        "--address",
        metavar="IP",
        default=None,
        help="address of this host that the others reach; else that of the default route",
    )
    _add_etcd(init)
    _add_common(init)


def _add_etcd(init: Parser) -> None:
    init.add_argument(
        "--etcd",
        metavar="URL[,URL...]",
        default=None,
        help="use this etcd in place of the embedded store",
    )
    for name, what in (
        ("cacert", "authority that vouches for that etcd"),
        ("cert", "certificate to show to that etcd"),
        ("key", "key of that certificate"),
    ):
        init.add_argument(f"--{name}", metavar="FILE", default=None, help=f"{what}, in PEM (with --etcd)")


def _add_join(below: Tree) -> None:
    join = below.command(
        "join",
        "cluster.join:join",
        "make this host a member of a cluster",
        "cluster join - <<< TOKEN\n cluster join - < /root/token",
        about=_JOIN,
    )
    join.add_argument(
        "token", metavar="TOKEN", nargs="?", default="-", help="the token, or - for standard input"
    )
    _add_common(join)


def _add_common(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", default=None, help="name of this host; else the system's")
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=90.0,
        help="how long to wait for readiness (default 90)",
    )
    parser.add_argument(
        "--yes", "-y", action="store_true", default=False, help="restart Docker also while containers run"
    )
    parser.add_argument("--no-docker", action="store_true", default=False, help="leave Docker as it is")
    parser.add_argument("--dry-run", action="store_true", default=False, help="only say what would be done")
    add_format(parser, "table", "json")


def _add_token(below: Tree) -> None:
    token = below.command(
        "token",
        "cluster.tokens:listing",
        "make, list and revoke tokens that let hosts join",
        "cluster token create",
    )
    under = below.under(token, required=True)
    create = under.command(
        "create",
        "cluster.tokens:create",
        "make a token, on the store's host",
        "cluster token create\n cluster token create --uses 5 --for 2h",
        about="""\
Make a token and print it. Hosts join by it until it ends or is used up. The store keeps a digest of its secret only:
nobody can print it again.""",
    )
    create.add_argument(
        "--uses", type=int, metavar="N", default=1, help="hosts that may join by it (default 1)"
    )
    create.add_argument(
        "--for",
        dest="lifetime",
        metavar="TIME",
        default="24h",
        help="when it ends: 30m, 24h, 7d (default 24h)",
    )
    add_format(create, "table", "json")
    listing = under.command("list", "cluster.tokens:listing", "list the tokens", "cluster token list -o json")
    add_format(listing, "table", "json", "yaml")
    revoke = under.command(
        "revoke", "cluster.tokens:revoke", "revoke a token", "cluster token revoke 4f6a01c2"
    )
    revoke.add_argument("id", metavar="ID", help="id of the token, as 'cluster token list' has it")


def _add_leaving(below: Tree) -> None:
    leave = below.command(
        "leave",
        "cluster.leave:leave",
        "take this host out of its cluster",
        "cluster leave\n cluster leave --force",
        about="""\
Give this host's lease back, remove what flanpyd made in the kernel, stop flanpyd, strike the host off the list of
members, and remove its key and certificate. Refused while containers run on the subnet.""",
    )
    add_force(leave, "also while containers run, and without the store if that cannot be reached")
    remove = below.command(
        "remove",
        "cluster.remove:remove",
        "strike a host off the list of members, on the store's host",
        "cluster remove web-2",
        about="""\
Strike a host off the list of members and delete its lease: its certificate counts no more from now on, and its
watches end. For a host that is gone or must not come back; one that is there runs 'cluster leave'.""",
    )
    remove.add_argument("node", metavar="NODE", help="name, address, node id or member id")
    renew = below.command(
        "renew",
        "cluster.renew:renew",
        "renew this host's certificates, if they are due",
        "cluster renew\n cluster renew --force",
        about="""\
Have the certificates of this host signed again in the last third of their life. flanpy-renew.timer does it each day;
flanpyd is restarted for a new one, and packets go on. A host that was removed is refused.""",
    )
    add_force(renew, "renew also what is not due")
