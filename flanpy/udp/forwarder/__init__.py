"""The user-space UDP plane: a process of its own, without privileges, between a TUN queue and a UDP socket.

No asyncio in here but in `process`, which is the daemon's side of it.
"""
