"""Writes what an artefact has to say of the libraries in it: their notices, and a bill of materials (CycloneDX 1.5).

    notices.py SITE DIRECTORY        reads SITE/*.dist-info, writes DIRECTORY/NOTICES and DIRECTORY/sbom.cdx.json

The same libraries give the same bytes. A library without a word on its licence stops the build.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.parse
from importlib.metadata import Distribution, distributions
from pathlib import Path

_NOTICE = re.compile(r"(licen[cs]e|notice|copying|copyright|authors)[^/]*$", re.IGNORECASE)
_RULE = "=" * 100


def main() -> None:
    """Write both files."""
    site, directory = Path(sys.argv[1]), Path(sys.argv[2])
    found = sorted(distributions(path=[str(site)]), key=lambda one: one.name.lower())
    if not found:
        sys.exit(f"notices: no *.dist-info in {site}")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "NOTICES").write_text("\n".join(_notice(one) for one in found))
    (directory / "sbom.cdx.json").write_text(json.dumps(_bill(found), indent=1) + "\n")


def _notice(library: Distribution) -> str:
    texts = [text for path in _papers(library) if (text := path.read_text(errors="replace").strip())]
    said = [_RULE, f"{library.name} {library.version}", f"Licence: {_licence(library)}", *_authors(library)]
    return "\n".join([*said, _RULE, "", *(f"{text}\n" for text in texts)])


def _papers(library: Distribution) -> list[Path]:
    """Return the texts that the library's authors put beside its metadata."""
    if library.files is None:
        sys.exit(
            f"notices: {library.name} {library.version} has no RECORD of its files any more: read it before"
        )
    beside = (
        path for path in library.files if path.parts[0].endswith(".dist-info") and _NOTICE.match(path.name)
    )
    return sorted(Path(str(path.locate())) for path in beside)


def _authors(library: Distribution) -> list[str]:
    names = [library.metadata.get(key, "") for key in ("Author", "Author-email")]
    return [f"Authors: {', '.join(filter(None, names))}"] if any(names) else []


def _licence(library: Distribution) -> str:
    """Return the licence as the library's metadata name it."""
    metadata = library.metadata
    classified = [
        one.rpartition(" :: ")[2]
        for one in metadata.get_all("Classifier", [])
        if one.startswith("License ::")
    ]
    named = metadata.get("License-Expression") or (metadata.get("License") or "").strip().partition("\n")[0]
    said = named or ", ".join(classified)
    if not said:
        sys.exit(f"notices: {library.name} {library.version} does not say its licence")
    return said


def _bill(found: list[Distribution]) -> dict[str, object]:
    own = next((one for one in found if one.name == "flanpy"), None)
    bill: dict[str, object] = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
    if own is not None:
        bill["metadata"] = {"component": _component(own, kind="application")}
    return bill | {"components": [_component(one, kind="library") for one in found if one is not own]}


def _component(library: Distribution, *, kind: str) -> dict[str, object]:
    name = re.sub(r"[-_.]+", "-", library.name).lower()
    reference = f"pkg:pypi/{name}@{urllib.parse.quote(library.version)}"
    expression = library.metadata.get("License-Expression")
    licence = {"expression": expression} if expression else {"license": {"name": _licence(library)}}
    return {
        "type": kind, "bom-ref": reference, "name": library.name, "version": library.version,
        "licenses": [licence], "purl": reference,
    }  # fmt: skip


if __name__ == "__main__":
    main()
