"""The public half of a WireGuard key: X25519 (RFC 7748, section 5) with the base point. Pure.

The kernel would compute it as well, but only on a device, and a lease names the key before there is one. The time
it takes depends on the key, once for each start.
"""

from __future__ import annotations

from typing import Final

_P: Final = 2**255 - 19
_A24: Final = 121665


def clamped(secret: bytes) -> bytes:
    """Return 32 random bytes as a private key, as `wg genkey` does."""
    return bytes([secret[0] & 248, *secret[1:31], (secret[31] & 127) | 64])


def public_key(private: bytes) -> bytes:
    """Return the public key of a private one, 32 bytes each."""
    scalar = int.from_bytes(clamped(private), "little")
    x2, z2, x3, z3, swapped = 1, 0, 9, 1, 0
    for at in reversed(range(255)):
        bit = scalar >> at & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        x2, z2, x3, z3 = _step(x2, z2, x3, z3)
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")


def _step(x2: int, z2: int, x3: int, z3: int) -> tuple[int, int, int, int]:
    """Double one point and add the other, by the ladder of RFC 7748."""
    plus, minus = (x2 + z2) % _P, (x2 - z2) % _P
    squared, squared_minus = plus * plus % _P, minus * minus % _P
    difference = (squared - squared_minus) % _P
    crossed, other = (x3 - z3) * plus % _P, (x3 + z3) * minus % _P
    return (
        squared * squared_minus % _P,
        difference * (squared + _A24 * difference) % _P,
        (crossed + other) ** 2 % _P,
        9 * (crossed - other) ** 2 % _P,
    )
