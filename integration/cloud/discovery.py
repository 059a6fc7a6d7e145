"""Google's own description of the Compute Engine API, as far as it is used: what requests and answers may be.

A request must be a method of the document, with its path, verb and parameters, a body of the schema's fields and types,
and the fields that the method requires; and an answer must be of its schema.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import googleapiclient  # type: ignore[import-untyped]

_DOCUMENT = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "compute.v1.json"
_USED = ("instances.get", "routes.list", "routes.insert", "routes.delete", "globalOperations.get")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "integer": int, "array": list, "object": dict, "number": (int, float),
}  # fmt: skip


class Discovery:
    """Google's description of the API, as far as it is used here."""

    def __init__(self) -> None:
        document = json.loads(_DOCUMENT.read_text())
        self._schemas = document["schemas"]
        self.root = "/" + document["servicePath"].rstrip("/")
        self._methods = []
        for name in _USED:
            resource, verb = name.split(".")
            method = document["resources"][resource]["methods"][verb]
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method["path"])
            self._methods.append(
                (
                    name,
                    method,
                    re.compile(f"{self.root}/{pattern}" if not pattern.startswith("/") else pattern),
                )
            )

    def method(self, verb: str, path: str, query: dict[str, str], body: object) -> tuple[str, dict[str, str]]:
        """The method's name and the path's parameters. Raises ValueError for what the document does not know."""
        for name, method, pattern in self._methods:
            found = pattern.fullmatch(path)
            if found is None or method["httpMethod"] != verb:
                continue
            if strange := set(query) - set(method["parameters"]):
                raise ValueError(f"{name} has no parameters {sorted(strange)}")
            if "request" in method:
                self.check(method["request"]["$ref"], body)
                self._check_whole(method["request"]["$ref"], f"compute.{name}", body)
            return name, found.groupdict()
        raise ValueError(f"{verb} {path} is no method that is used")

    def answer(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body, of which the document knows every field."""
        method = next(method for known, method, _ in self._methods if known == name)
        self.check(method["response"]["$ref"], body)
        return body

    def check(self, schema: str, value: object) -> None:
        """Raises ValueError for a field that the schema does not have, or of another type."""
        self._check({"$ref": schema}, value, schema)

    def _check_whole(self, schema: str, method: str, value: Any) -> None:
        for name, about in self._schemas[schema]["properties"].items():
            if method in about.get("annotations", {}).get("required", ()) and name not in value:
                raise ValueError(f"{method} needs {schema}.{name}")

    def _check(self, schema: dict[str, Any], value: object, where: str) -> None:
        if "$ref" in schema:
            schema = {"type": "object", **self._schemas[schema["$ref"]]}
        if not isinstance(value, _TYPES[schema["type"]]):
            raise ValueError(f"{where} is {value!r}, of type {schema['type']}")  # noqa: TRY004  (one kind of violation)
        if isinstance(value, list):
            for item in value:
                self._check(schema["items"], item, f"{where}[]")
        if isinstance(value, dict) and "properties" in schema:
            for name, item in value.items():
                if name not in schema["properties"]:
                    raise ValueError(f"{where} has no field {name}")
                self._check(schema["properties"][name], item, f"{where}.{name}")
        if isinstance(value, str) and "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            raise ValueError(f"{where} is {value!r}, not like {schema['pattern']}")
        if "enum" in schema and value not in schema["enum"]:
            raise ValueError(f"{where} is {value!r}, none of {schema['enum']}")
