"""The UDP backend's data planes: the bare inner packet in a datagram, forwarded in the kernel or beside it."""
