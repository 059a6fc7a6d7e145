"""Owns talking to an etcd that demands a password: the lab's own eyes and hands, as root, by the JSON gateway.

It must not use the project's own store: the lab judges that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from integration.etcd.api import EtcdApi, after, coded
from integration.net.namespaces import LabError

ROOT = "root"
_REJECTED = (
    "invalid auth token",
    "user name is empty",
    "revision of auth store is old",
    "revision in header is old",
)
_LOGINS = 5
"""In a row, for one call: while users are changed a JSON web token may be old before it is used."""


class RootApi(EtcdApi):
    """An EtcdApi that logs in when etcd asks for it, and again when its token has ended."""

    def __init__(
        self, namespace: str, address: tuple[str, int], *, password: str, timeout: float = 20.0
    ) -> None:
        super().__init__(namespace, address, timeout=timeout)
        self._password = password
        self._token = ""

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """As the base class; new tokens if the old one is not taken."""
        for _ in range(_LOGINS):
            try:
                return super().call(path, body)
            except LabError as error:
                if not any(text in str(error) for text in _REJECTED):
                    raise
            self._token = ""
            login = {"name": ROOT, "password": self._password}
            self._token = str(super().call("/v3/auth/authenticate", login)["token"])
        return super().call(path, body)

    def watch(self, prefix: str, *, start: int) -> Iterator[dict[str, Any]]:
        """As the base class, logged in."""
        self.revision()
        return super().watch(prefix, start=start)

    def _headers(self) -> dict[str, str]:
        return {**super()._headers(), **({"Authorization": self._token} if self._token else {})}

    def demand_login(self) -> None:
        """Give root its password and let etcd ask everybody for one."""
        self.call("/v3/auth/user/add", {"name": ROOT, "password": self._password})
        self.call("/v3/auth/role/add", {"name": ROOT})
        self.call("/v3/auth/user/grant", {"user": ROOT, "role": ROOT})
        self.call("/v3/auth/enable", {})

    def add_user(self, name: str, password: str, *, prefix: str) -> None:
        """A user with a role of its own name that may read and write what begins with `prefix`."""
        self.call("/v3/auth/user/add", {"name": name, "password": password})
        self.call("/v3/auth/role/add", {"name": name})
        self.permit(name, prefix)
        self.call("/v3/auth/user/grant", {"user": name, "role": name})

    def name_user(self, name: str, password: str) -> None:
        """A user without any role."""
        self.call("/v3/auth/user/add", {"name": name, "password": password})

    def delete_user(self, name: str) -> None:
        """Strike a user."""
        self.call("/v3/auth/user/delete", {"name": name})

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        self.call("/v3/auth/user/changepw", {"name": name, "password": password})

    def permit(self, role: str, prefix: str) -> None:
        """Let a role read and write what begins with `prefix`."""
        permission = {"permType": "READWRITE", "key": coded(prefix), "range_end": coded(after(prefix))}
        self.call("/v3/auth/role/grant", {"name": role, "perm": permission})

    def forbid(self, role: str, prefix: str) -> None:
        """Take that from the role again."""
        body = {"role": role, "key": coded(prefix), "range_end": coded(after(prefix))}
        self.call("/v3/auth/role/revoke", body)

    def members(self) -> dict[str, int]:
        """The cluster's members: ids by peer URL."""
        found = self.call("/v3/cluster/member/list", {}).get("members", [])
        return {url: int(member["ID"]) for member in found for url in member.get("peerURLs", [])}

    def add_member(self, peer_url: str) -> None:
        """Announce a member that will start there."""
        self.call("/v3/cluster/member/add", {"peerURLs": [peer_url]})

    def remove_member(self, peer_url: str) -> None:
        """Strike the member that is, or was, there."""
        self.call("/v3/cluster/member/remove", {"ID": str(self.members()[peer_url])})

    def alarms(self) -> list[dict[str, Any]]:
        """The alarms in force."""
        found: list[dict[str, Any]] = self.call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", [])
        return found

    def disarm(self) -> None:
        """Take every alarm back."""
        for alarm in self.alarms():
            self.call("/v3/maintenance/alarm", {"action": "DEACTIVATE", **alarm})

    def defragment(self) -> None:
        """Give the space of deleted keys back, on this member."""
        self.call("/v3/maintenance/defragment", {})
