"""Tests that need a kernel with WireGuard and IPIP: `make test-wireguard` runs them in the guest."""
