"""The yardstick: flannel's method of forwarding, one packet and two system calls at a time; in C and in Python."""

from integration.yardstick.proxy import Proxy, build, compiler, program

__all__ = ["Proxy", "build", "compiler", "program"]
