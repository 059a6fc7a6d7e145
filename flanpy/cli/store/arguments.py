"""The arguments of `flanpyctl store`."""

from __future__ import annotations

from flanpy.cli.base.parser import Tree, add_force


def add_store(tree: Tree) -> None:
    """Add `store` with its commands."""
    store = tree.command(
        "store",
        "store.backup:backup",
        "back up the embedded store, bring it back, or move it",
        "store backup /root/store.db\n store restore /root/store.db\n store promote",
    )
    below = tree.under(store, required=True)
    backup = below.command(
        "backup",
        "store.backup:backup",
        "write all that the store holds to a file",
        "store backup /root/store.db\n store backup --force /mnt/backups/store.db",
        about="""\
Copy the store, as it is at one moment, over the network to a file: keys, leases with the time they have left, and the
history. The checksum that comes at the end is compared. It works with an etcd, too, whose file etcdutl restores. The
embedded store makes one each day by itself, below its data directory.""",
    )
    backup.add_argument("file", metavar="FILE", help="file to write, readable by its owner alone")
    add_force(backup, "replace FILE if it is there")
    restore = below.command(
        "restore",
        "store.restore:restore",
        "put a backup in the place of the embedded store's file",
        "store restore /root/store.db\n store restore --data-dir /srv/store /root/store.db",
        about="""\
Check a backup and put it in the place of the embedded store's file, on the store's host, as root. The store must not
run: systemctl stop flanpy-store. The file that is there is kept beside. Every host lists again when the store is back,
and writes its lease if the backup is older than that; packets go on meanwhile.""",
    )
    restore.add_argument("file", metavar="FILE", help="file that 'store backup' or the store itself wrote")
    restore.add_argument(
        "--data-dir",
        metavar="DIR",
        default="/var/lib/flanpy-store",
        help="the store's data directory (default /var/lib/flanpy-store)",
    )
    _add_moving(below)


def _add_moving(below: Tree) -> None:
    promote = below.command(
        "promote",
        "cluster.promote:promote",
        "make this member the store's host, as the old one is gone",
        "store promote\n store promote --force",
        about="""\
Start the store on this member, from the copy of all keys that flanpyd keeps, after the host that ran it is gone for
good. Members find it by themselves within a minute and keep their subnets; packets go on meanwhile. The old store
serves nobody when it comes back. CONFLICT while it still answers.""",
    )
    add_force(promote, "promote although the old store answers: what is written there from now on is lost")
    promote.add_argument("--dry-run", action="store_true", default=False, help="only say what would be done")
    move = below.command(
        "move",
        "cluster.move:move",
        "move the cluster's keys to an etcd, or back",
        "store move --to https://192.0.2.11:2379,https://192.0.2.12:2379\n"
        " store move --to https://192.0.2.10:2379",
        about="""\
Copy all keys and leases from the cluster's store to an etcd, or from there to the embedded store of this host, then
let all members go on there: no subnet changes and no packet is lost. Run it on the store's host. The etcd must accept
the cluster's certificates (its --trusted-ca-file is /etc/credstore/flanpy-store.trusted-ca-file).""",
    )
    move.add_argument("--to", metavar="URL,...", required=True, help="client addresses of the new store")
    move.add_argument(
        "--cacert",
        metavar="FILE",
        default=None,
        help="authority of the new store's certificates; else the cluster's",
    )
    add_force(move, "delete what is in the new store's keys of others")
