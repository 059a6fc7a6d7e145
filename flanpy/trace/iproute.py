"""Links, routes, neighbours and FDB entries as `ip -j` and `bridge -j` tell them. Raises HostError; judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from flanpy.errors import HostError
from flanpy.model.address import IPAddress
from flanpy.trace.programs import output
from flanpy.trace.seen import Device, Entry, RouteAnswer

Row = Mapping[str, Any]


def _rows(*argv: str) -> Sequence[Row]:
    said = output(argv)
    try:
        rows = json.loads(said or "[]")
    except (ValueError, RecursionError) as error:
        raise HostError(f"{' '.join(argv)}: printed no JSON") from error
    return [row for row in rows if row] if isinstance(rows, list) else []


def devices() -> dict[str, Device]:
    """Every link here."""
    return {row["ifname"]: _device(row) for row in _rows("ip", "-j", "-d", "link", "show")}


def _device(row: Row) -> Device:
    flags = row.get("flags", ())
    details = row.get("linkinfo", {})
    data = details.get("info_data", {})
    return Device(
        name=row["ifname"],
        up="UP" in flags,
        carrier="NO-CARRIER" not in flags,
        mtu=int(row.get("mtu", 0)),
        kind=str(details.get("info_kind", "")),
        mac=str(row.get("address", "")),
        vni=data.get("id"),
        port=data.get("port"),
        local=str(data.get("local") or data.get("local6") or ""),
        parent=str(data.get("link") or ""),
        master=str(row.get("master") or ""),
    )


def addresses() -> dict[IPAddress, str]:
    """Every address of this host, with its link."""
    return {
        ip_address(entry["local"]): row["ifname"]
        for row in _rows("ip", "-j", "address", "show")
        for entry in row.get("addr_info", ())
        if "local" in entry
    }


def way(destination: IPAddress, *, source: IPAddress | None = None, in_link: str = "") -> RouteAnswer:
    """Return the kernel's route to `destination`. A refusal is an answer, too."""
    words = [str(destination)]
    words += ["from", str(source)] if source else []
    words += ["iif", in_link] if in_link else []
    try:
        found = _rows("ip", "-j", "-d", "route", "get", *words)
    except HostError as error:
        if "RTNETLINK answers" not in str(error):
            raise
        return RouteAnswer(problem=str(error).partition("RTNETLINK answers:")[2].strip(" ."))
    if not found:
        return RouteAnswer(problem="no answer")
    return _way(found[0], _entry(words))


def _way(row: Row, entry: Row) -> RouteAnswer:
    gateway = row.get("gateway") or row.get("via", {}).get("host")
    source = row.get("prefsrc") or row.get("src")
    mtu = next((metric["mtu"] for metric in row.get("metrics", ()) if "mtu" in metric), 0)
    return RouteAnswer(
        link=str(row.get("dev", "")),
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
        kind=str(row.get("type", "unicast")),
        entry=route_text(entry) if entry else "",
        proto=str(entry.get("protocol", "")),
        mtu=int(mtu or row.get("mtu") or 0),
        table=_table(row, entry),
    )


def _table(row: Row, entry: Row) -> str:
    name = str(row.get("table") or entry.get("table") or "")
    return "" if name in _KERNELS_TABLES else name


_KERNELS_TABLES = frozenset({"local", "main", "default"})


def rules(version: int) -> dict[str, str]:
    """Read the routing rules that somebody added: the first of each table, and of those that end packets."""
    found: dict[str, str] = {}
    for row in _rows("ip", "-j", f"-{version}", "rule", "show"):
        table = str(row.get("table", ""))
        if table not in _KERNELS_TABLES:
            found.setdefault(table, _rule_text(row))
    return found


def _rule_text(row: Row) -> str:
    """As `ip rule` prints it, in short; a selector without a value is a bare word there."""
    words = [f"{row.get('priority', 0)}:", *(["not"] if "not" in row else [])]
    for key, name in _SELECTORS:
        if row.get(key) not in {None, ""}:
            length = row.get(f"{key}len")
            words += [name, f"{row[key]}/{length}" if length is not None else str(row[key])]
    return " ".join([*words, *([str(row["action"])] if "action" in row else [])])


_SELECTORS = (
    ("src", "from"),
    ("dst", "to"),
    ("iif", "iif"),
    ("oif", "oif"),
    ("fwmark", "fwmark"),
    ("table", "lookup"),
)


def _entry(words: Sequence[str]) -> Row:
    """The route that matched; nothing where the kernel cannot tell."""
    try:
        found = _rows("ip", "-j", "-d", "route", "get", "fibmatch", *words)
    except HostError:
        return {}
    return found[0] if found else {}


def route_text(row: Row) -> str:
    """As `ip route` prints it, in short."""
    words = [str(row.get("dst", "?"))]
    for key, name in (("gateway", "via"), ("dev", "dev"), ("protocol", "proto"), ("metric", "metric")):
        if row.get(key) not in {None, ""}:
            words += [name, str(row[key])]
    kind = str(row.get("type", "unicast"))
    return " ".join([*([kind] if kind != "unicast" else []), *words, *row.get("flags", ())])


def neighbours(link: str) -> dict[str, Entry]:
    """Of both families, by address."""
    return {
        row["dst"]: Entry(str(row.get("lladdr", "")), ",".join(row.get("state", ())))
        for row in _rows("ip", "-j", "neigh", "show", "dev", link)
        if "dst" in row
    }


def fdb(link: str) -> dict[str, tuple[str, ...]]:
    """Read the destinations to which a VXLAN device sends frames, by MAC."""
    found: dict[str, tuple[str, ...]] = {}
    for row in _rows("bridge", "-j", "fdb", "show", "dev", link):
        if "dst" in row:
            mac = str(row.get("mac", "")).lower()
            found[mac] = (*found.get(mac, ()), str(row["dst"]))
    return found
