"""The files that the service's user can write, and the commands that root runs: two lists, each held complete
by a test, for `test_root_side`.

Run as a program it is root: it runs the command lines of standard input, each under a clock, and tells how they ended.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Final

from flanpy.cli.main import run

SERVICE_FILES: Final = {
    "subnet.env": "subnet",
    "cloud.json": "state",
    "events.json": "state",
    "lease.json": "state",
    "networks.json": "state",
    "names-view.json": "state",
    "store-copy.json": "state",
    "store-place.json": "state",
    "drained.json": "state",
    "node-id": "state",
    "wgkey": "state",
    "tunnel.json": "run",
    "extension.json": "run",
    "offload.json": "run",
    "flanpyd.lock": "run",
    "flanpyd.sock": "run",
}
"""By name, below which of the service's directories it is: RuntimeDirectory (flannel, flanpy) and StateDirectory."""

DIRECTORIES: Final = {"subnet": "/run/flannel", "run": "/run/flanpy", "state": "/var/lib/flanpy"}

OF_ROOT: Final = frozenset({
    "daemon.json", "docker_opts.env", "names.json", "docker-refusals.json", "diag.tar.gz", "/proc/sys",
    "whatever is written as a whole", "removes what the others wrote",
    "the links of containers",
    "the embedded store's", "units and their settings", "the cluster's keys and certificates",
})  # fmt: skip
"""What else modules of ours write: none of it is the service user's."""

SUBNET: Final = "10.50.7.0/24"

COMMANDS: Final[Mapping[str, str]] = {
    "cluster init": "--dry-run",  # else they would change the machine that the tests run on
    "cluster join": "--dry-run -",
    "cluster leave": "--force",  # this host is no member: nothing of the service's user makes it one
    "cluster members": "",
    "cluster remove": "n1",
    "cluster renew": "--force",
    "cluster token create": "",
    "cluster token list": "",
    "cluster token revoke": "0123456789abcdef",
    "networks create": "shop 10.96.0.0/16",
    "networks ls": "",
    "networks show": "shop",
    "networks link": "shop billing --port 5432",
    "networks unlink": "shop billing",
    "networks rm": "shop",
    "networks attach": "shop",
    "networks leave": "shop",
    "networks forget": "n1",
    "networks export": "",
    "networks import": "{out}/network.json",
    "names": "db",
    "network show": "",
    "network init": "10.50.0.0/16",
    "network set": "{out}/network.json",
    "network validate": "{out}/network.json",
    "subnets list": "",
    "subnets show": SUBNET,
    "subnets export": "",
    "subnets reserve": f"{SUBNET} --for-node n1",
    "subnets pin": SUBNET,
    "subnets unpin": SUBNET,
    "subnets release": f"{SUBNET} --force",
    "status": "",
    "help": "",
    "diff": "",
    "config show": "",
    "config env": "",
    "reload": "",
    "doctor": "--fix --yes",
    "peers": "",
    "keys ls": "",
    "keys rotate": "",
    "keys revoke": "h9 --force",
    "keys allow": "h9",
    "ping": "",
    "trace": "10.50.9.2",
    "events": "",
    "top": "",
    "diag": "-f {out}/diag.tar.gz",
    "attach": "db --network shop --ip 10.96.1.77",  # no Docker answers here: tests/engines/test_attach.py
    "detach": "db",
    "docker plan": "",
    "docker apply": "--restart never --before-start",
    "docker status": "",
    "docker networks": "",
    "docker names": "",
    "docker links": "--follow",  # there are none: tests/engines/test_attach.py
    "link": "web db",
    "unlink": "web db",
    "docker rollback": "--restart never",
    "docker opts": "-d {out}/docker_opts.env",
    "drain": "--force --cleanup",
    "cleanup": "--yes --force",
    "store backup": "{out}/store.db",  # no store answers here
    "store restore": "{out}/store.db --data-dir {out}/store",  # tests/cli/test_store.py
    "store promote": "--dry-run --force",  # this host is no member: tests/systemd/test_cluster.py
    "store move": "--to https://127.0.0.1:1",
    "host install": "--dry-run",  # else it would change the machine that the tests run on
    "version": "",
    "completion": "bash",
}
"""Every command with the words that make it do the most. `cleanup` comes after those that read what it removes."""

SCRIPTS: Final = {
    "postinst": "configure 1.0",
    "prerm": "remove",
    "postrm": "purge",
}
"""The package's, in the order in which dpkg runs them over its life."""

DEADLINE_S: Final = 60


class Hangs(BaseException):
    """The clock ran out."""


def _ring(_number: int, _frame: object) -> None:
    raise Hangs


def _ended(words: list[str]) -> dict[str, object]:
    out, err = StringIO(), StringIO()
    code: object
    signal.alarm(DEADLINE_S)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
    except Hangs:
        code = f"hangs: {traceback.format_exc()}"
    except Exception:  # noqa: BLE001, told to whoever asked
        code = traceback.format_exc()
    finally:
        signal.alarm(0)
    return {"words": " ".join(words), "code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _ring)
    print(json.dumps([_ended(words) for words in json.load(sys.stdin)]))
