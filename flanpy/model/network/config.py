"""Reading and writing the text of `<prefix>/config`, by flannel's rules (its Documentation/configuration.md).

Owns how the parts of a config come together: which families are on, which backend is named. Each step has its module:
`network_json` makes an object of the text, `network_values` checks the type of each field, `network_pool` one family's
ranges. A backend's own options are only carried: the backend judges them. Must not do I/O; takes text, returns a
`NetworkConfig` or raises a `ConfigError` of one line: field, value, rule, and where there is one the nearest value that
would do.

Where flannel is lax and the result would be silent harm (a key given twice, bounds in the wrong order, both
families off, an empty backend type), this is an error; what flannel ignores (unknown keys, host bits) is a warning.
"""

from __future__ import annotations

import difflib
import json
from types import MappingProxyType

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.network.fields import BACKEND_OPTIONS, MASK, SECRET_OPTIONS
from flanpy.model.network.json import Spelled, decoded, json_object
from flanpy.model.network.network import NetworkConfig
from flanpy.model.network.pool import Pool, pool_of
from flanpy.model.network.values import RULES, Values, refuse
from flanpy.model.quoting import quoted_json


def parse_network_config(text: str | bytes) -> NetworkConfig:
    """Read and validate the JSON of a network config; raises ConfigError."""
    source = decoded(text)
    values = Values(json_object(source))
    enabled = (values.boolean("EnableIPv4", default=True), values.boolean("EnableIPv6", default=False))
    if not any(enabled):
        refuse("EnableIPv4", False, "EnableIPv6 is off too, so that nothing can be leased", "true")
    pool, pool6 = (pool_of(values, rules) if on else None for rules, on in zip(RULES, enabled, strict=True))
    values.warn_if_off(enabled)
    backend_type, options = _backend(values.get("Backend"), present=values.has("Backend"))
    values.warnings += _unknown_options(backend_type, options)
    return NetworkConfig(
        **_pool_fields(pool, pool6),  # type: ignore[arg-type]
        enable_nftables=values.boolean("EnableNFTables", default=False),
        deliberate=values.boolean("Deliberate", default=False),
        in_clear=_in_clear(values.get("InClear")),
        backend_type=backend_type,
        backend_options=MappingProxyType(options),
        warnings=tuple(values.warnings),
        text=source,
    )


def render_network_config(config: NetworkConfig) -> str:
    """The JSON text of `config` with every default written out, as flannel and `parse_network_config` read it."""
    document: dict[str, object] = {}
    if config.network is None:
        document["EnableIPv4"] = False
    else:
        document |= _rendered_pool(
            "", config.network, config.subnet_len, config.subnet_min, config.subnet_max
        )
    if config.network6 is not None:
        document["EnableIPv6"] = True
        document |= _rendered_pool(
            "IPv6", config.network6, config.subnet_len6, config.subnet_min6, config.subnet_max6
        )
    if config.enable_nftables:
        document["EnableNFTables"] = True
    if config.deliberate:
        document["Deliberate"] = True
    if config.in_clear is not None:
        document["InClear"] = dict(config.in_clear)
    spelling = {name.lower(): name for name in BACKEND_OPTIONS.get(config.backend_type, ())}
    options = {spelling.get(name, name): value for name, value in config.backend_options.items()}
    document["Backend"] = {"Type": config.backend_type, **options}
    return json.dumps(document, ensure_ascii=False)


def without_secrets(text: str) -> str:
    """Return the text of a config for people, a pre-shared key masked; as it stands if it is no config."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    fields = document.items() if isinstance(document, dict) else ()
    backend = next((value for key, value in fields if key.lower() == "backend"), None)
    if not isinstance(backend, dict) or not any(name.lower() in SECRET_OPTIONS for name in backend):
        return text
    for name in backend:
        if name.lower() in SECRET_OPTIONS and backend[name]:
            backend[name] = MASK
    return json.dumps(document, ensure_ascii=False)


def _rendered_pool(
    prefix: str, network: IPNetwork, length: int, first: IPAddress | None, last: IPAddress | None
) -> dict[str, object]:
    return {
        f"{prefix}Network": str(network),
        f"{prefix}SubnetLen": length,
        f"{prefix}SubnetMin": str(first),
        f"{prefix}SubnetMax": str(last),
    }


def _pool_fields(pool: Pool | None, pool6: Pool | None) -> dict[str, object]:
    return {
        "network": pool and pool.network,
        "subnet_len": pool.length if pool else RULES[0].usual,
        "subnet_min": pool and pool.first,
        "subnet_max": pool and pool.last,
        "network6": pool6 and pool6.network,
        "subnet_len6": pool6.length if pool6 else RULES[1].usual,
        "subnet_min6": pool6 and pool6.first,
        "subnet_max6": pool6 and pool6.last,
    }


def _backend(value: object, *, present: bool) -> tuple[str, dict[str, object]]:
    """Type in lower case and the other keys; no Backend at all means `udp`, as in flannel."""
    if not present:
        return "udp", {}
    if not isinstance(value, dict):
        refuse("Backend", value, 'must be an object like {"Type": "vxlan"}')
    options = dict(value)
    if "type" not in options:
        refuse("Backend", list(value), "has no Type", '{"Type": "vxlan"}')
    given = options.pop("type")
    name = given.lower() if isinstance(given, str) else ""
    if name not in BACKEND_OPTIONS:
        offered = list(BACKEND_OPTIONS)
        close = difflib.get_close_matches(name[:40], offered, n=1, cutoff=0.4)
        refuse("Backend.Type", given, f"must be one of {', '.join(offered)}", *close)
    return name, _as_written(name, options, value)


def _in_clear(value: object) -> MappingProxyType[str, object] | None:
    """Return the backend as it was written, without a judgement: nobody uses it before it is the Backend again."""
    if value is None:
        return None
    if not isinstance(value, Spelled):
        refuse("InClear", value, 'must be an object like {"Type": "vxlan"}')
    return MappingProxyType({value.spelled[key]: item for key, item in value.items()})


def _as_written(name: str, options: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """Return the options with those that the backend does not know under the name that somebody wrote."""
    known = {option.lower() for option in BACKEND_OPTIONS[name]}
    spelled = given.spelled if isinstance(given, Spelled) else {}
    return {key if key in known else spelled.get(key, key): value for key, value in options.items()}


def _unknown_options(name: str, options: dict[str, object]) -> list[str]:
    known = {option.lower(): option for option in BACKEND_OPTIONS[name]}
    lines = []
    for key in options.keys() - known.keys():
        close = difflib.get_close_matches(key.lower()[:40], known, n=1, cutoff=0.6)
        hint = f"; did you mean {known[close[0]]}?" if close else ""
        lines.append(f"{name} has no option {quoted_json(key)}, it is ignored{hint}")
    return sorted(lines)
