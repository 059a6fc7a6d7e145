"""The container fast path: eBPF programs that carry a flow past the host's stack while the stack would let it pass."""
