"""Netlink: framing and numbers shared by every adapter that speaks it."""
