"""The arguments of `flanpyctl store`."""

from __future__ import annotations

from flanpy.cli.base.parser import Tree, add_force


def add_store(tree: Tree) -> None:
    """Add `store` with its commands."""
    store = tree.command(
        "store",
        "store.backup:backup",
        "back up the embedded store, or bring it back",
        "store backup /root/store.db\n store restore /root/store.db",
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
run: systemctl stop flanpy-store. The file that is there is kept beside. Every host lists anew when the store is back,
and writes its lease if the backup is older than that; packets go on meanwhile.""",
    )
    restore.add_argument("file", metavar="FILE", help="file that 'store backup' or the store itself wrote")
    restore.add_argument(
        "--data-dir",
        metavar="DIR",
        default="/var/lib/flanpy-store",
        help="the store's data directory (default /var/lib/flanpy-store)",
    )
