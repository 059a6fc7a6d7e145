"""The papers on the libraries in an artefact, judged against each other."""

from __future__ import annotations

import json
import re

_HEAD = re.compile(r"^={100}\n(?P<name>\S+) (?P<version>\S+)\nLicence: (?P<licence>.+)\n", re.MULTILINE)


def bill_of(bill: bytes, notices: str) -> set[str]:
    """Return the names of the libraries on a bill of materials, each of which has a text among the notices."""
    told = json.loads(bill)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    own = told["metadata"]["component"]
    assert (own["name"], own["licenses"]) == ("flanpy", [{"expression": "Apache-2.0"}])
    listed = {(one["name"], one["version"]) for one in told["components"]}
    heads = list(_HEAD.finditer(notices))
    assert {(head["name"], head["version"]) for head in heads} == listed | {("flanpy", own["version"])}
    ends = [*(head.start() for head in heads[1:]), len(notices)]
    for head, end in zip(heads, ends, strict=True):
        assert end - head.end() > 300, f"{head['name']} has no text of its licence"
    return {one["purl"].removeprefix("pkg:pypi/").partition("@")[0] for one in told["components"]}
