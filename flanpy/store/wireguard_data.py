"""BackendData of a wireguard lease, from foreign JSON. Raises Unusable; a key is public, so it may be shown."""

from __future__ import annotations

from typing import Final

import msgspec

from flanpy.model.lease import WireguardData
from flanpy.model.wireguard import key_of
from flanpy.store.unusable import Unusable, shown


class _Wireguard(msgspec.Struct):
    public_key: str = msgspec.field(name="PublicKey", default="")
    port: int | None = msgspec.field(name="Port", default=None)


_read: Final = msgspec.json.Decoder(_Wireguard).decode


def wireguard_data(field: str, raw: bytes) -> WireguardData:
    """Read `{"PublicKey":"<base64>","Port":51820}`. A missing port and 0 are the reader's own."""
    try:
        data = _read(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise Unusable(f"{field} {shown(raw)} cannot be read: {shown(str(error), quoted=False)}") from error
    public_key("PublicKey", data.public_key, f" of {field}")
    if data.port is not None and not 0 <= data.port < 1 << 16:
        raise Unusable(f"Port {shown(str(data.port), quoted=False)} of {field} is no UDP port")
    return WireguardData(data.public_key, data.port or None)


def public_key(field: str, text: str, of: str = "") -> str:
    """Return the text of a public key if it is one; raises Unusable, which names the field and what it is of."""
    key = key_of(text)
    if key is None or not any(key):
        raise Unusable(f"{field} {shown(text)}{of} is no key: 32 bytes in base64, not all zeros")
    return text
