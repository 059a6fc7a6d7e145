"""What the packet filters of a lab's hosts look like, by the words of `nft` and `iptables-save`."""

from __future__ import annotations

import re

from integration.lab import Host

_TABLE = re.compile(r"^table (?P<name>[^\n]+) \{\n(?P<body>.*?)^\}\n", re.MULTILINE | re.DOTALL)
_CHAIN = re.compile(r"^\tchain (?P<name>\S+) \{\n(?P<body>.*?)^\t\}\n\n?", re.MULTILINE | re.DOTALL)
_OUR_LINE = re.compile(r"^.*jump FLANPY-\S+\n", re.MULTILINE)
_EMPTY = re.compile(r"\t\ttype \S+ hook \S+ priority [^;]+; policy accept;\n")


def foreign_rules(host: Host) -> str:
    """All of nf_tables that is not ours: neither our table, chains and jumps, nor chains of the system left empty."""
    kept = []
    for table in _TABLE.finditer(host.run("nft", "--stateless", "list", "ruleset").stdout):
        chains = "".join(
            f"{chain['name']}:\n{body}"
            for chain in _CHAIN.finditer(table["body"])
            if not chain["name"].startswith("FLANPY-")
            and not _EMPTY.fullmatch(body := _OUR_LINE.sub("", chain["body"]))
        )
        if chains and not table["name"].endswith(" flanpy"):
            kept.append(f"{table['name']}\n{chains}")
    return "\n".join(kept)
