"""The arguments of `flanpyctl host`."""

from __future__ import annotations

from flanpy.cli.base.parser import Tree


def add_host(tree: Tree) -> None:
    """Add `host` and what is below it."""
    host = tree.command(
        "host",
        "config.host_install:install",
        "make flanpyd a service of this host, or none",
        "host install",
    )
    install = tree.under(host, required=True).command(
        "install",
        "config.host_install:install",
        "make flanpyd a service here, after pip or pipx installed it",
        """host install --dry-run
        host install
        host install --uninstall""",
        about="""\
Write the units for the flanpyd beside this flanpyctl, with its settings file, its user and what belongs to them, in
the administrator's directories. Nothing is enabled or started. It may be run again at any time, after each upgrade:
what is right already is left alone, and the settings file always is. A Debian package has units of its own.""",
    )
    install.add_argument(
        "--dry-run", action="store_true", default=False, help="only say what would be written or removed"
    )
    install.add_argument(
        "--uninstall",
        action="store_true",
        default=False,
        help="stop and disable the units, and remove what was written; the settings file stays",
    )
