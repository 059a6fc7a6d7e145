"""The yardstick: flannel's method of forwarding, one packet and two system calls at a time, in C of our own."""

from integration.yardstick.proxy import Proxy, build

__all__ = ["Proxy", "build"]
