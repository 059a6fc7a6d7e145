"""What only a kernel with WireGuard and IPIP shows: run in the guest by `make test-wireguard`."""
